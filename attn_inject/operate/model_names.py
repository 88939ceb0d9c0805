"""From what a person types to models: names, globs, `@list.txt`, saved files and factories."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from attn_inject import models
from attn_inject.errors import FileError, UsageError, unknown_name
from attn_inject.operate.load_model import is_saved_file
from attn_inject.request import ModelRequest

Model = nn.Module | str | ModelRequest


@dataclass(frozen=True)
class Wanted:
    """A model to count.

    Attributes:
        model: A module, or a request with one name.
        name: What the user calls it.
        listed: Whether it came from a glob or a list, so that its failure must not end the others.
    """

    model: nn.Module | ModelRequest
    name: str
    listed: bool = False


def expand(models: Model | Iterable[Model]) -> list[Wanted]:
    """Every model that is meant, once each, in order.

    Args:
        models: Modules, requests, or names: `resnet50`, `'resnet*'`, `torchvision/resnet*`, `@list.txt`,
            a saved file, `package.module:factory`.

    Raises:
        UnknownNameError: A glob matches nothing.
        FileError: A list cannot be read.
        UsageError: A list names no model.
    """
    given = [models] if isinstance(models, str | nn.Module | ModelRequest) else models
    wanted: dict[str | int, Wanted] = {}
    for model in given:
        if isinstance(model, nn.Module):
            wanted.setdefault(id(model), Wanted(model, type(model).__name__))
            continue
        request = ModelRequest(name=model) if isinstance(model, str) else model
        for name, listed in _names(request.name):
            one = dataclasses.replace(request, name=name)
            wanted.setdefault(repr(one), Wanted(one, name, listed))
    return list(wanted.values())


def _names(text: str) -> Iterator[tuple[str, bool]]:
    """Every name that one text stands for, and whether it was found by a glob or in a list."""
    if text.startswith("@"):
        for line in _lines(Path(text[1:])):
            yield from ((name, True) for name, _ in _names(line))
    elif is_saved_file(text) or ":" in text or not any(sign in text for sign in "*?["):
        yield text, False
    else:
        yield from ((name, True) for name in _matches(text))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(
            f"The list of models {path} cannot be read: {error}.",
            hint="It is a text file with one model on each line; # begins a comment.",
        ) from error
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    names = [line for line in lines if line]
    if nested := [name for name in names if name.startswith("@")]:
        raise UsageError(f"{path} names another list, {nested[0]}.", hint="Write its models here.")
    if not names:
        raise UsageError(f"{path} names no model.", hint="Write one model on each line.")
    return names


def _matches(glob: str) -> list[str]:
    """Names that a glob matches, as one would type them: a bare name that both libraries have is timm's."""
    found = models.model_names(glob)
    if not found:
        known = [name for _, name in models.model_names("*")]
        raise unknown_name("model", glob, known, see="attn-inject list models")
    prefix = "/" in glob
    return list(dict.fromkeys(f"{source}/{name}" if prefix else name for source, name in found))
