"""Threads that other people's code leaves running, which would keep the program from ending.

It imports no torch, since the program looks at it when it ends.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from attn_inject.models.thread_patch import replaced_here

# Python itself ends the threads of pools.
_POOLS = "concurrent.futures.thread"
_GRACE = 0.5  # seconds for a thread to end by itself
_left: list[threading.Thread] = []


@dataclass(frozen=True)
class Started:
    """A thread, and the frames that started it with their lines, the outermost first."""

    thread: threading.Thread
    frames: tuple[tuple[FrameType, int], ...]


@contextmanager
def threads_started_here() -> Iterator[list[Started]]:
    """Collects the threads that this thread starts in the block."""
    started: list[Started] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        frames = [*traceback.walk_stack(sys._getframe(1))][::-1]
        start(thread)
        if not any(frame.f_globals.get("__name__") == _POOLS for frame, _ in frames):
            started.append(Started(thread, tuple(frames)))

    with replaced_here(threading.Thread, "start", noted):
        yield started


def still_running(started: list[Started]) -> Started | None:
    """The first of these that keeps the program from ending; daemon threads do not."""
    for found in started:
        if not found.thread.daemon:
            found.thread.join(_GRACE)
            if found.thread.is_alive():
                _left.append(found.thread)
                return found
    return None


def is_held_up() -> bool:
    """Whether the program could not end by itself now."""
    return any(thread.is_alive() for thread in _left)
