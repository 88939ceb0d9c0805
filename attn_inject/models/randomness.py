"""Random numbers of our own, without disturbing the caller's."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_NUMPY_SEEDS = 2**32


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers from `seed`; then all generators continue as before."""
    with undisturbed():
        torch.manual_seed(seed)
        random.seed(seed)
        numbers = _numpy_random()
        if numbers:
            numbers.seed(seed % _NUMPY_SEEDS)
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """A block after which all generators continue as before.

    torch's on the CPU and on every GPU in use, Python's `random`, and numpy's where it is loaded.
    """
    is_in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    in_use = range(torch.cuda.device_count()) if is_in_use else ()
    numbers = _numpy_random()
    python, numpy = random.getstate(), numbers.get_state() if numbers else None
    try:
        with torch.random.fork_rng(devices=list(in_use)):
            yield
    finally:
        random.setstate(python)
        if numbers:
            numbers.set_state(numpy)


def generator_states() -> dict[str, int]:
    """How far each generator is, as a digest by its name."""
    numbers = _numpy_random()
    states = {"torch's": hash(bytes(torch.get_rng_state().numpy().data)), "Python's": hash(random.getstate())}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["CUDA's"] = hash(bytes(torch.cuda.get_rng_state().numpy().data))
    if numbers:
        _, keys, *rest = numbers.get_state()
        states["numpy's"] = hash((keys.tobytes(), *rest))
    return states


def _numpy_random() -> Any:
    numpy = sys.modules.get("numpy")
    return numpy.random if numpy is not None else None
