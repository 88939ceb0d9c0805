"""Rows on disk: one JSON document a line, appended as they come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows by library and model, the last of each; a half-written last line is left out."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                row = json.loads(text)
            except json.JSONDecodeError:
                continue
            rows[row["library"], row["name"]] = row
    return rows


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add one row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
