"""Lists of names for people and as documents: attention modules, models, placements, formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attn_inject.attention.registry import Entry
from attn_inject.display.grid import Table


def attention_grid(entries: Iterable[Entry]) -> Table:
    """One row per module: its name, what it does, its options, and the paper or the package it is from."""
    rows = [(entry.name, entry.summary, option_text(entry.options), _origin(entry)) for entry in entries]
    return Table.of("name|what it does|options|from", rows)


def option_text(options: Mapping[str, object]) -> str:
    """`reduction=16 bias=true`, as `--attn` reads each of them."""
    return " ".join(f"{key}={_text(value)}" for key, value in options.items())


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _origin(entry: Entry) -> str:
    if not entry.authors:
        return entry.owner
    return f"{entry.authors} {entry.year}, {entry.source}"


def attention_document(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """The document of `list attention --json`."""
    keys = (
        "name",
        "summary",
        "acts_on",
        "placement",
        "title",
        "authors",
        "year",
        "arxiv",
        "parameters",
        "owner",
    )
    return [
        {key: getattr(entry, key) for key in keys}
        | {"options": dict(entry.options), "aliases": list(entry.aliases)}
        for entry in entries
    ]


def words_grid(title: str, words: Mapping[str, str]) -> Table:
    """Names and what they mean."""
    return Table.of(f"{title}|meaning", words.items())


def models_grid(models: Iterable[tuple[str, str]]) -> Table:
    """(source, name) pairs."""
    return Table.of("source|model", models)
