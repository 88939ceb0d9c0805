"""Taking the attention out of a saved file again: the base's own state dict, without building a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from attn_inject.checkpoint import formats
from attn_inject.checkpoint.atomic import check_writable
from attn_inject.checkpoint.contents import Contents
from attn_inject.checkpoint.load import check_digest
from attn_inject.errors import FileError
from attn_inject.sources.weights import read_weights

_Path = str | os.PathLike[str]


def restore(
    path: _Path, out: _Path, *, base: _Path | None = None, verify: bool = True, force: bool = False
) -> dict[str, Any]:
    """Write the base's state dict as it is inside a saved file; nothing is built and nothing run.

    Tensors that were not trained are those that went in, bit for bit.

    Args:
        path: A file that attn-inject wrote.
        out: A plain state dict, `.safetensors` by that suffix, else for `torch.load`.
        base: Weights of the base, for what an operation by replacement took out; whatever the saved file
            still has is taken from there.
        verify: Whether to compare the tensors' digest first.
        force: Whether an existing file may be replaced.

    Returns:
        The document of `restore --json`: `file`, `from`, `model`, `source`, `tensors` and `elements` of
        the base, `removed_tensors` and `removed_elements`, and `taken`, the names taken from `base`.

    Raises:
        FileError: A file is unreadable, damaged or unwritable, or a tensor of the base is in none.
    """
    check_writable(out, force=force)
    contents = formats.read(path, mmap=not verify)
    if contents.whole is not None:
        raise FileError(
            f"{path} holds attention modules only, and no base that could be restored.",
            hint="The base is in the file that its weights were loaded from.",
        )
    if verify:
        check_digest(contents, path)
    inserted = _inserted(contents)
    state = {name: value for name, value in contents.state_dict.items() if name not in inserted}
    whole = _completed(state, contents, path, base)
    formats.write_state(out, whole, force=force)
    provenance = contents.recipe.provenance
    return {
        "file": str(out),
        "from": str(path),
        "model": provenance.name,
        "source": provenance.source,
        "tensors": len(whole),
        "elements": _elements(whole),
        "removed_tensors": len(inserted),
        "removed_elements": _elements({name: contents.state_dict[name] for name in inserted}),
        "taken": [name for name in whole if name not in state],
    }


def _inserted(contents: Contents) -> set[str]:
    prefixes = tuple(f"{splice.name}.{splice.module}." for splice in contents.recipe.splices)
    return {name for name in contents.state_dict if name.startswith(prefixes)}


def _completed(
    state: Mapping[str, Any], contents: Contents, path: _Path, base: _Path | None
) -> dict[str, Any]:
    """The state dict with what replacements took out, in the base's own order."""
    replaced = [splice for splice in contents.recipe.splices if splice.replaces]
    if not replaced:
        return dict(state)
    if base is None:
        raise FileError(
            f"{path} lacks what {replaced[0].placement} took out of {replaced[0].name}.",
            hint="Hand over the weights of the base: --base FILE (base= in Python).",
        )
    weights = read_weights(str(base)).state
    if unknown := next((name for name in state if name not in weights), None):
        raise FileError(
            f"{base} has no {unknown}, which the base of {path} has.", hint="It is another model's."
        )
    return {name: state.get(name, value) for name, value in weights.items()}


def _elements(state: Mapping[str, Any]) -> int:
    return sum(value.numel() for value in state.values() if isinstance(value, torch.Tensor))
