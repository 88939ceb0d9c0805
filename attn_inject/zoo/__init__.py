"""Many models, converted one process each, with a ledger from which the next run continues.

import attn_inject

for record in attn_inject.zoo.convert("resnet1*", attn="ela-l", out_dir="zoo"):
    print(record.file, record.status)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attn_inject.zoo.converting import convert
    from attn_inject.zoo.record import Record

__all__ = ["Record", "convert"]

_HOMES = {"Record": "attn_inject.zoo.record", "convert": "attn_inject.zoo.converting"}


def __getattr__(name: str) -> Any:
    # The command line reads the zoo's options for its help, and must not import the rest.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
