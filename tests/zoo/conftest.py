"""Small zoos of factories, with the options that most tests share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attn_inject.zoo import Record, convert

FACTORIES = "tests.zoo.factories:"


@pytest.fixture
def zoo(tmp_path: Path) -> Callable[..., dict[str, Record]]:
    """Convert factories into `tmp_path/zoo` and return the records by the factory's name."""

    def run(*names: str, **options: Any) -> dict[str, Record]:
        settings = {
            "attn": "se",
            "out_dir": tmp_path / "zoo",
            "check": "structure",
            "input_size": 32,
            "jobs": 2,
        }
        models = [name if ":" in name or "/" in name else FACTORIES + name for name in names]
        return {
            record.model.removeprefix(FACTORIES): record for record in convert(models, **settings | options)
        }

    return run


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every saved model in a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.pt")
    }
