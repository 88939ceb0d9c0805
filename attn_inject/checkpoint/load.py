"""From a saved file back to an operated model: rebuild empty, repeat the edits, assign the tensors."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from attn_inject import sources
from attn_inject.checkpoint import pt
from attn_inject.checkpoint.contents import Contents
from attn_inject.checkpoint.digest import first_difference, state_digest, structure
from attn_inject.checkpoint.recipe import Recipe
from attn_inject.errors import AttnInjectError, FileError
from attn_inject.shadow import shadow
from attn_inject.surgery import splice as splicing
from attn_inject.surgery.edit import Splice

_Path = str | os.PathLike[str]


def load(
    path: _Path, *, base: nn.Module | None = None, trust: bool = False, verify: bool = True
) -> nn.Module:
    """The operated model that a file holds, in eval mode, on the CPU.

    The recorded sites are operated again; nothing is searched. A verified model owns its memory. An
    unverified one leaves its tensors in the file until they are used: faster, and safe to train, but the
    file must not be cut short in place meanwhile (our own writing never does that). The global random
    state is left as it was.

    Args:
        path: A file that attn-inject wrote.
        base: The untouched architecture, for a model that was handed over as an object; it is not
            changed, and its weights are not used.
        trust: Whether code may run that the file names, `package.module:...`.
        verify: Whether to compare the tensors' digest.

    Raises:
        FileError: The file is unreadable, damaged, foreign or untrusted, needs `base`, or the
            architecture built now is another one; the first differing module is named.
        UnknownNameError: The model or an attention module is not installed.
        ModelError: The architecture cannot be built.
    """
    contents = pt.read(path, mmap=not verify)
    _check_trust(contents.recipe, path, trust)
    if verify:
        check_digest(contents, path)
    with torch.random.fork_rng(devices=[]):
        model = _empty(contents, base, trust)
        _operate(model, contents, path)
    _assign(model, contents.state_dict, path)
    return model.eval()


def check_digest(contents: Contents, path: _Path) -> None:
    """Compare the tensors with what was written.

    Raises:
        FileError: They differ.
    """
    if state_digest(contents.state_dict) != contents.digest:
        raise FileError(
            f"{path} is damaged: its tensors are not those that were written.",
            hint="Copy or write it again. verify=False loads it as it is.",
        )


def _check_trust(recipe: Recipe, path: _Path, trust: bool) -> None:
    named = [splice.attention for splice in recipe.splices if _names_code(splice)]
    if named and not trust:
        raise FileError(
            f"{path} needs the class {named[0]}, and loading it would run that code.",
            hint="Load it in Python with trust=True if you know where the file comes from.",
        )


def _names_code(splice: Splice) -> bool:
    return ":" in splice.attention and not splice.attention.startswith("timm:")


def _empty(contents: Contents, base: nn.Module | None, trust: bool) -> nn.Module:
    """The untouched architecture; what the file holds is on meta, all else is real."""
    if base is None:
        return sources.rebuild(contents.recipe.provenance, empty=True, trust=trust).model
    stored = {id(tensor) for tensor in base.state_dict(keep_vars=True).values()}
    return shadow(
        base,
        lambda tensor: (
            torch.empty_like(tensor, device="meta") if id(tensor) in stored else tensor.detach().clone()
        ),
    )


def _operate(model: nn.Module, contents: Contents, path: _Path) -> None:
    """Repeat the edits, and make sure that the result is the model that was saved."""
    splices = contents.recipe.splices
    try:
        splicing.apply(model, splices)
        _fill_own_buffers(model, splices, contents.state_dict)
    except AttnInjectError:
        raise
    except Exception as error:  # a recipe may name anything
        raise FileError(
            f"{path} does not fit the architecture built now: {error}", hint=_versions(contents)
        ) from error
    if difference := first_difference(contents.structure, structure(model)):
        raise FileError(
            f"{path} was written for another architecture: {difference}.", hint=_versions(contents)
        )


def _fill_own_buffers(model: nn.Module, splices: Iterable[Splice], state: Mapping[str, Any]) -> None:
    """Inserted modules were made on meta; buffers that no state dict keeps get their values back."""
    for splice in splices:
        name = f"{splice.name}.{splice.module}"
        inserted = model.get_submodule(name)
        lost = [key for key, _ in inserted.named_buffers() if f"{name}.{key}" not in state]
        if not lost:
            continue
        real = splicing.build(splice)
        for key in lost:
            owner, _, leaf = key.rpartition(".")
            inserted.get_submodule(owner)._buffers[leaf] = real.get_buffer(key)


def _assign(model: nn.Module, state: Mapping[str, Any], path: _Path) -> None:
    """Make the file's tensors the model's own, without a copy; what was one parameter stays one."""
    tied = _tied(model)
    named = OrderedDict(state)
    # Some modules look up their version there (MNASNet); the file's is the one built now.
    named._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    try:
        model.load_state_dict(named, strict=True, assign=True)
    except (RuntimeError, AttributeError) as error:
        lines = " ".join(line.strip() for line in str(error).splitlines())
        raise FileError(f"{path} does not fit its own recipe. {lines:.500}", hint="It is damaged.") from error
    for first, *others in tied:
        for name in others:
            owner, _, leaf = name.rpartition(".")
            model.get_submodule(owner)._parameters[leaf] = model.get_parameter(first)


def _tied(model: nn.Module) -> list[list[str]]:
    """Names that are one parameter, for each that has several."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [group for group in names.values() if len(group) > 1]


def _versions(contents: Contents) -> str:
    now = sources.versions()
    then = contents.recipe.versions
    changed = [f"{name} {old} (now {now.get(name)})" for name, old in then.items() if now.get(name) != old]
    if not changed:
        return "The installed libraries have the versions that it was written with; it is damaged."
    return f"It was written with {', '.join(changed)}; install those versions."
