"""The records of a zoo as rows: for `index.json`, `summary.csv`, the card and the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attn_inject.versions import versions
from attn_inject.zoo.record import Record


def row(record: Record) -> dict[str, Any]:
    """One output in short: its request, its costs, its file, or why it failed."""
    result: Mapping[str, Any] = record.result or {}
    base, delta, total = (result.get(name) or {} for name in ("base", "delta", "result"))
    failure = record.failure
    return {
        "file": record.file,
        "model": record.model,
        "attention": list(record.attention),
        "placement": record.placement,
        "status": record.status,
        "sites": len(result["sites"]) if result else None,
        "skipped": len(result["rejected"]) if result else None,
        "params": total.get("params"),
        "flops": total.get("flops"),
        "activations": total.get("activations"),
        "delta_params": delta.get("params"),
        "delta_flops": delta.get("flops"),
        "delta_activations": delta.get("activations"),
        "base_params": base.get("params"),
        "base_flops": base.get("flops"),
        "base_activations": base.get("activations"),
        "bytes": record.size or None,
        "digest": record.digest or None,
        "discarded": record.discarded,
        "seconds": record.seconds,
        "peak_memory": record.peak_memory,
        "attempts": record.attempts,
        "error": None
        if failure is None
        else {"code": failure.code, "message": failure.message, "hint": failure.hint},
    }


def index_document(records: Iterable[Record]) -> dict[str, Any]:
    """The document of `index.json` and of `zoo --json`."""
    rows = [row(record) for record in records]
    done = sum(item["status"] == "done" for item in rows)
    return {"outputs": rows, "done": done, "failed": len(rows) - done, "versions": versions()}


def summary_cells(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The rows as text, under the keys of a row; `error` is its code and message."""
    return [tuple(_cell(value) for value in item.values()) for item in rows]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, Mapping):
        return f"{value['code']}: {value['message']}"
    return str(value).lower() if isinstance(value, bool) else str(value)
