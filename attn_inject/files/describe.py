"""Describes a saved file without building a model."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from attn_inject.files import formats
from attn_inject.files.contents import Contents
from attn_inject.files.recipe import to_plain
from attn_inject.surgery.edit import Edit


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The document of `show --json`; the tensors' values are not read.

    Returns:
        `file`, `bytes`, `model`, `source`, `arguments`, `input_size`, `weights` (where they are from),
        `sites` (one dictionary per edit, with the `elements` of its module), `tensors` and `elements` of the
        whole and `inserted_tensors` and `inserted_elements` of what was added (parameters and buffers, in
        numbers), `replaced_tensors` (kept of what was replaced), `only` (`all` or `attention`), `reference`
        (whether the output on a seeded input is kept), `digest`, `plans` (in their order) and `versions`.

    Raises:
        FileError: As `load`.
    """
    contents = formats.read(path, mmap=True)
    recipe = to_plain(contents.recipe)
    sites = [_site(edit, contents) for edit in contents.recipe.edits]
    inserted = [key for edit in contents.recipe.edits for key in _keys(edit, contents)]
    return {
        "file": str(path),
        "bytes": Path(formats.located(path)).stat().st_size,
        "model": recipe["provenance"]["name"],
        "source": recipe["provenance"]["source"],
        "arguments": recipe["provenance"]["arguments"],
        "input_size": recipe["provenance"]["input_size"],
        "weights": contents.recipe.provenance.weights and contents.recipe.provenance.weights.to_json(),
        "sites": sites,
        "tensors": len(contents.state_dict),
        "elements": _elements(contents, contents.state_dict),
        "inserted_tensors": len(inserted),
        "inserted_elements": _elements(contents, inserted),
        "replaced_tensors": len(contents.replaced),
        "only": "all" if contents.whole is None else "attention",
        "witness": contents.reference is not None,
        "digest": contents.digest,
        "plans": recipe["plans"],
        "versions": recipe["versions"],
    }


def _site(edit: Edit, contents: Contents) -> dict[str, Any]:
    return {
        "name": edit.name,
        "module": edit.path,
        "block": edit.site.block,
        "attention": edit.attention,
        "options": dict(edit.options),
        "placement": edit.placement,
        "operation": edit.operation,
        "start": edit.start,
        "layout": edit.site.layout,
        "channels": edit.site.channels,
        "height": edit.site.height,
        "width": edit.site.width,
        "elements": _elements(contents, _keys(edit, contents)),
        "note": edit.note,
    }


def _keys(edit: Edit, contents: Contents) -> list[str]:
    return [key for key in contents.state_dict if key.startswith(f"{edit.path}.")]


def _elements(contents: Contents, keys: Iterable[str]) -> int:
    values = (contents.state_dict[key] for key in keys)
    return sum(value.numel() for value in values if isinstance(value, torch.Tensor))
