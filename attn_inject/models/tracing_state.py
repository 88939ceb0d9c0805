"""Suspends the recording of `torch.jit.trace`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_C: Any = torch._C  # the switches of the tracer have no types


@contextmanager
def unrecorded() -> Iterator[None]:
    """Nothing within is recorded; sizes are numbers again."""
    state = _C._get_tracing_state()
    _C._set_tracing_state(None)
    try:
        yield
    finally:
        _C._set_tracing_state(state)
