"""Describes a saved or exported file without building a model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from attn_inject.files import formats
from attn_inject.files.contents import Contents
from attn_inject.files.exports import exporter
from attn_inject.files.exports.record import read_record
from attn_inject.files.recipe import Recipe, to_plain
from attn_inject.surgery.edit import Edit


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The document of `show --json`; the tensors' values are not read.

    Args:
        path: A saved file, a folder that `export --format hub` wrote, `hf-hub:ORG/NAME`, or a `.onnx` or
            `.pt2` file with the record that `export` writes into it.

    Returns:
        `file`, `bytes`, `model`, `source`, `arguments`, `input_size`, `weights` (where they are from),
        `sites` (one dictionary per edit, with the `elements` of its module), `tensors` and `elements` of the
        whole and `inserted_tensors` and `inserted_elements` of what was added (parameters and buffers, in
        numbers), `replaced_tensors` (kept of what was replaced), `only` (`all` or `attention`), `reference`
        (whether the output on a seeded input is kept), `digest`, `plans` (in their order) and `versions`.

    Raises:
        FileError: As `load`; or an exported file has no record.
        MissingExtraError: An `.onnx` file without the extra `onnx`.
    """
    if str(path).endswith(exporter.SUFFIXES):
        return _exported(path)
    contents = formats.read(path, mmap=True)
    sites = [_site(edit, _elements(contents, _keys(edit, contents))) for edit in contents.recipe.edits]
    inserted = [key for edit in contents.recipe.edits for key in _keys(edit, contents)]
    own = {
        "sites": sites,
        "tensors": len(contents.state_dict),
        "elements": _elements(contents, contents.state_dict),
        "inserted_tensors": len(inserted),
        "inserted_elements": _elements(contents, inserted),
        "replaced_tensors": len(contents.replaced),
        "only": "all" if contents.whole is None else "attention",
        "witness": contents.reference is not None,
        "digest": contents.digest,
    }
    return _made(path, contents.recipe, own)


def _exported(path: str | os.PathLike[str]) -> dict[str, Any]:
    record = read_record(path)
    sites = [_site(edit, n) for edit, n in zip(record.recipe.edits, record.site_elements, strict=True)]
    own = {
        "sites": sites,
        "tensors": record.tensors,
        "elements": record.elements,
        "inserted_tensors": record.inserted_tensors,
        "inserted_elements": sum(record.site_elements),
        "replaced_tensors": 0,
        "only": "all",
        "witness": False,
        "digest": record.digest,
    }
    return _made(path, record.recipe, own)


def _made(path: str | os.PathLike[str], recipe: Recipe, own: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of every file, around what is said of this kind."""
    kept, weights = to_plain(recipe), recipe.provenance.weights
    return {
        "file": str(path),
        "bytes": Path(formats.located(path)).stat().st_size,
        "model": kept["provenance"]["name"],
        "source": kept["provenance"]["source"],
        "arguments": kept["provenance"]["arguments"],
        "input_size": kept["provenance"]["input_size"],
        "weights": weights and weights.to_json(),
        **own,
        "plans": kept["plans"],
        "versions": kept["versions"],
    }


def _site(edit: Edit, elements: int) -> dict[str, Any]:
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
        "elements": elements,
        "note": edit.note,
    }


def _keys(edit: Edit, contents: Contents) -> list[str]:
    return [key for key in contents.state_dict if key.startswith(f"{edit.path}.")]


def _elements(contents: Contents, keys: Iterable[str]) -> int:
    values = (contents.state_dict[key] for key in keys)
    return sum(value.numel() for value in values if isinstance(value, torch.Tensor))
