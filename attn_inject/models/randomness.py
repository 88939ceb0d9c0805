"""Random numbers of our own, without disturbing the caller's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers from `seed` on the CPU and on every GPU in use; then all generators go on as before."""
    is_in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    in_use = range(torch.cuda.device_count()) if is_in_use else ()
    with torch.random.fork_rng(devices=list(in_use)):
        torch.manual_seed(seed)
        yield
