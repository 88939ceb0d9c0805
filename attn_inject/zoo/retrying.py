"""Calls to a store, tried again: networks and stores fail now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

ATTEMPTS = 5
_PAUSE = 0.2  # seconds before the second attempt, doubled before each further one
_LONGEST = 60.0  # seconds after which there is no further attempt
# What another attempt cannot change: it is not there, not allowed or not possible.
_FINAL = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    NotImplementedError,
    ImportError,
    TypeError,
    ValueError,
)

T = TypeVar("T")


def retried(call: Callable[[], T]) -> T:
    """What a call returns that may be repeated without harm; the last error after `ATTEMPTS` attempts."""
    began = time.monotonic()
    for attempt in range(ATTEMPTS - 1):
        try:
            return call()
        except _FINAL:
            raise
        # Every store has error classes of its own.
        except Exception:
            if time.monotonic() - began > _LONGEST:
                raise
        time.sleep(_PAUSE * 2**attempt)
    return call()
