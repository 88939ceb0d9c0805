"""From what a user types to models: names, globs, `@list.txt`, saved files and factories."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from attn_inject import models
from attn_inject.errors import unknown_name
from attn_inject.operate.load_model import is_saved_file
from attn_inject.request import ModelRequest
from attn_inject.trust import names_in, require_trust

Model = nn.Module | str | ModelRequest


@dataclass(frozen=True)
class Wanted:
    """A model to count.

    Attributes:
        model: A module, or a request with one name.
        name: What the user calls it.
        listed: Whether it came from a glob or a list, so that its failure does not stop the others.
    """

    model: nn.Module | ModelRequest
    name: str
    listed: bool = False


def expand(models: Model | Iterable[Model]) -> list[Wanted]:
    """Every model that is named, once each, in order.

    Args:
        models: Modules, requests, or names: `resnet50`, `'resnet*'`, `torchvision/resnet*`, `@list.txt`,
            a saved file, `package.module:factory`.

    Raises:
        UnknownNameError: A glob matches nothing.
        FileError: A list cannot be read, or names code and is not trusted.
        UsageError: A list names no model.
    """
    given = [models] if isinstance(models, str | nn.Module | ModelRequest) else models
    wanted: dict[str | int, Wanted] = {}
    for model in given:
        if isinstance(model, nn.Module):
            wanted.setdefault(id(model), Wanted(model, type(model).__name__))
            continue
        request = ModelRequest(name=model) if isinstance(model, str) else model
        for name, listed in _names(request.name, trust=request.trust):
            one = dataclasses.replace(request, name=name)
            wanted.setdefault(repr(one), Wanted(one, name, listed))
    return list(wanted.values())


def _names(text: str, *, trust: bool) -> Iterator[tuple[str, bool]]:
    """Every name that one text means, and whether it came from a glob or a list."""
    if text.startswith("@"):
        listed = names_in(Path(text[1:]))
        require_trust(listed, trust=trust)
        for line in listed:
            yield from ((name, True) for name, _ in _names(line.text, trust=trust))
    elif is_saved_file(text) or ":" in text or not any(sign in text for sign in "*?["):
        yield text, False
    else:
        yield from ((name, True) for name in _matches(text))


def _matches(glob: str) -> list[str]:
    """Names that a glob matches; a bare name that both libraries have is timm's."""
    found = models.model_names(glob)
    if not found:
        known = [name for _, name in models.model_names("*")]
        raise unknown_name("model", glob, known, see="attn-inject list models")
    prefix = "/" in glob
    return list(dict.fromkeys(f"{source}/{name}" if prefix else name for source, name in found))
