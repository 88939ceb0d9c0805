"""`attn-inject list [attention|models|placements|formats|columns] [GLOB]`: all names, and what they mean."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from attn_inject.attention import registry
from attn_inject.cli import options
from attn_inject.cli.working import working
from attn_inject.display.columns import COLUMNS
from attn_inject.display.documents import json_text
from attn_inject.display.grid import Table
from attn_inject.display.listing import (
    attention_document,
    attention_grid,
    evidence_grid,
    models_grid,
    words_grid,
)
from attn_inject.display.page import write_page
from attn_inject.errors import unknown_name
from attn_inject.request import PLACEMENTS

EPILOG = options.examples(
    "attn-inject list",
    "attn-inject list attention 'ela-*'",
    "attn-inject list models 'timm/*resnet50*'",
    "attn-inject list placements --json",
)
FORMATS = {
    ".pt": "a model saved by inject: recipe, tensors, digests; opens with torch.load(..., weights_only=True)",
    ".safetensors": "the same, with everything but the tensors in the metadata",
    ".pt2": "a model saved by export: the program of torch.export, runs on plain torch",
    ".onnx": "a model saved by export: for onnxruntime and others (extra onnx)",
    ".json": "a cost table of stats, every figure in full",
    ".csv": "a cost table of stats, one line per row",
    ".md": "a cost table of stats, as markdown",
    ".txt": "a cost table of stats, in plain columns",
    ".svg": "the plot of a cost table, stats --plot; also .png and .html",
}

Listing = tuple[list[Table], Any]


def list_names(
    topic: Annotated[
        str,
        typer.Argument(
            metavar="TOPIC",
            help="attention, models, placements, formats or columns.",
            autocompletion=lambda: list(TOPICS),
        ),
    ] = "attention",
    glob: Annotated[
        str, typer.Argument(metavar="GLOB", help="Show only names that match.", show_default=False)
    ] = "*",
    as_json: options.Json = False,
) -> None:
    """List attention modules, models, placements, file formats or columns of cost tables."""
    if topic not in TOPICS:
        raise unknown_name("list", topic, TOPICS)
    grids, document = TOPICS[topic](glob)
    if as_json:
        sys.stdout.write(json_text({topic: document}))
    else:
        write_page(grids, sys.stdout)


def _attention(glob: str) -> Listing:
    entries = registry.match(glob)
    # Of one module there is room to say where its facts are from.
    evidence = evidence_grid(entries[0]) if len(entries) == 1 else None
    return [attention_grid(entries), *([evidence] if evidence else [])], attention_document(entries)


def _models(glob: str) -> Listing:
    with working("reading the model lists of timm and torchvision"):
        from attn_inject import models

        known = models.model_names(glob)
        if not known:
            names = [f"{source}/{name}" for source, name in models.model_names("*")]
            raise unknown_name("model", glob, names, see="attn-inject list models")
    return [models_grid(known)], [{"source": source, "name": name} for source, name in known]


def _placements(glob: str) -> Listing:
    return _words("placement", PLACEMENTS, glob)


def _formats(glob: str) -> Listing:
    return _words("format", FORMATS, glob)


def _columns(glob: str) -> Listing:
    return _words("column", COLUMNS, glob)


def _words(title: str, words: Mapping[str, str], glob: str) -> Listing:
    matched = {name: meaning for name, meaning in words.items() if fnmatch.fnmatchcase(name, glob)}
    if not matched:
        raise unknown_name(title, glob, words, see=f"attn-inject list {title}s")
    return [words_grid(title, matched)], [
        {"name": name, "meaning": meaning} for name, meaning in matched.items()
    ]


TOPICS: dict[str, Callable[[str], Listing]] = {
    "attention": _attention,
    "models": _models,
    "placements": _placements,
    "formats": _formats,
    "columns": _columns,
}
