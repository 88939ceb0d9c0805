"""Lists of names for people and as documents: attention modules, models, placements, formats."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from attn_inject.attention.evidence import evidence_of
from attn_inject.attention.evidence.records import KINDS, Claim, Count, Evidence
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
        | {
            "options": dict(entry.options),
            "aliases": list(entry.aliases),
            "evidence": _evidence_document(entry),
        }
        for entry in entries
    ]


def evidence_grid(entry: Entry) -> Table | None:
    """Where a module's facts are from, one row per fact; None for what is not built in."""
    record = evidence_of(entry.target)
    if record is None:
        return None
    rows = [(what, KINDS[claim.kind], claim.where) for what, claim in _claims(record, entry)]
    rows += [(f"{count.printed} {count.unit}", _reached(count), count.claim.where) for count in record.counts]
    if record.difference:
        rows.append(("difference", "compared", str(record.difference)))
    return Table.of("fact|known by|where", rows)


def _claims(record: Evidence, entry: Entry) -> list[tuple[str, Claim]]:
    others = {f"default of {name}" for name in record.options if name not in entry.options}
    return [(what, claim) for what, claim in record.claims() if what not in others]


def _reached(count: Count) -> str:
    return f"{count.spec} has {count.ours}: {count.reason}" if count.ours else f"{count.spec} has the same"


def _evidence_document(entry: Entry) -> dict[str, Any] | None:
    """The record as plain data; None for what is not built in."""
    record = evidence_of(entry.target)
    if record is None:
        return None
    return {
        "facts": [
            {"fact": what, "known_by": claim.kind, "where": claim.where}
            for what, claim in _claims(record, entry)
        ],
        "counts": [dataclasses.asdict(count) for count in record.counts],
        "difference": dataclasses.asdict(record.difference) if record.difference else None,
    }


def words_grid(title: str, words: Mapping[str, str]) -> Table:
    """Names and what they mean."""
    return Table.of(f"{title}|meaning", words.items())


def models_grid(models: Iterable[tuple[str, str]]) -> Table:
    """(source, name) pairs."""
    return Table.of("source|model", models)
