"""The cores and memory of this machine that this process may use."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

SHARE = 0.8
_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def memory_limit(asked: int | float | None) -> int:
    """Bytes for all models together.

    Args:
        asked: Bytes, or a fraction of what is free; None means `SHARE`.
    """
    if isinstance(asked, int):
        return asked
    return int(_free() * (SHARE if asked is None else asked))


def _free() -> int:
    """Bytes free on the machine, or left to the container."""
    import psutil

    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):
        allowed = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        free = min(free, max(0, allowed - used))
    return free
