"""Restores the base's own state dict from a saved file, without building a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from attn_inject.errors import FileError
from attn_inject.files import formats
from attn_inject.files.atomic import check_writable
from attn_inject.files.contents import Contents
from attn_inject.files.loading import check_digest
from attn_inject.models.state_dict import ANY_SHAPE, select
from attn_inject.models.weights_file import read_weights
from attn_inject.surgery.edit import Edit

_Path = str | os.PathLike[str]


def restore(
    path: _Path, out: _Path, *, base: _Path | None = None, verify: bool = True, force: bool = False
) -> dict[str, Any]:
    """Write the base's state dict as it is inside a saved file, without building a model or running code.

    Tensors that were not trained equal the original ones, bit for bit.

    Args:
        path: A file that attn-inject wrote.
        out: A plain state dict, `.safetensors` by that suffix, else for `torch.load`.
        base: Weights of the base, for replaced tensors; the others come from the saved file.
        verify: Whether to compare the tensors' digest first.
        force: Whether an existing file may be replaced.

    Returns:
        The document of `restore --json`: `file`, `from`, `model`, `source`, `tensors` and `elements` of
        the base, `removed_tensors` and `removed_elements`, and `taken`, the names taken from `base`.

    Raises:
        FileError: A file is unreadable, damaged or unwritable, or a tensor of the base is missing.
    """
    check_writable(out, force=force)
    contents = formats.read(path, mmap=not verify)
    if contents.whole is not None:
        raise FileError(
            f"{path} holds only attention modules, and no base to restore.",
            hint="The base is in the file that its weights were loaded from.",
        )
    if verify:
        check_digest(contents, path)
    whole = _completed(contents, path, base)
    formats.write_state(out, whole, force=force)
    provenance, inserted = contents.recipe.provenance, _inserted(contents)
    return {
        "file": str(out),
        "from": str(path),
        "model": provenance.name,
        "source": provenance.source,
        "tensors": len(whole),
        "elements": _elements(whole),
        "removed_tensors": len(inserted),
        "removed_elements": _elements({name: contents.state_dict[name] for name in inserted}),
        "taken": [name for name in whole if name not in contents.tensors],
    }


def _inserted(contents: Contents) -> set[str]:
    prefixes = tuple(f"{edit.path}." for edit in contents.recipe.edits)
    return {name for name in contents.state_dict if name.startswith(prefixes)}


def _removed(contents: Contents) -> dict[str, Edit]:
    """Names of the base's tensors that were replaced, and the edit of each."""
    prefixes = tuple(f"{edit.path}." for edit in contents.recipe.edits)
    gone = {f"{edit.name}.{key}": edit for edit in contents.recipe.edits for key in edit.removed}
    return {name: edit for name, edit in gone.items() if not name.startswith(prefixes)}


def _completed(contents: Contents, path: _Path, base: _Path | None) -> dict[str, Any]:
    """The state dict of the base; each replaced tensor is at the position of its replacement's first one."""
    removed = _removed(contents)
    found = _found(removed, contents, path, base)
    inserted = _inserted(contents)
    waiting = dict(removed)
    whole: dict[str, Any] = {}
    for name, value in contents.state_dict.items():
        if name not in inserted:
            whole[name] = value
            continue
        for gone in [gone for gone, edit in waiting.items() if name.startswith(f"{edit.path}.")]:
            whole[gone] = found[gone]
            del waiting[gone]
    return whole | {name: found[name] for name in waiting}


def _found(
    removed: Mapping[str, Edit], contents: Contents, path: _Path, base: _Path | None
) -> Mapping[str, Any]:
    """The source of the replaced tensors: the file itself, or the base's."""
    lost = [name for name in removed if name not in contents.replaced]
    if not lost:
        return contents.replaced
    if base is None:
        edit = removed[lost[0]]
        raise FileError(
            f"{path} lacks {lost[0]}, which {edit.placement} replaced.",
            hint="Pass the weights of the base: --base FILE (base= in Python).",
        )
    own = {name: value for name, value in contents.state_dict.items() if ".attn_inject" not in name}
    weights = select(read_weights(str(base)).leaves, own | dict.fromkeys(lost, ANY_SHAPE)).state
    if missing := next((name for name in lost if name not in weights), None):
        raise FileError(
            f"{base} has no {missing}, which the base of {path} has.", hint="It belongs to another model."
        )
    return {name: contents.replaced.get(name, weights.get(name)) for name in removed}


def _elements(state: Mapping[str, Any]) -> int:
    return sum(value.numel() for value in state.values() if isinstance(value, torch.Tensor))
