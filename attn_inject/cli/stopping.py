"""SIGTERM and SIGHUP stop a command as Ctrl-C does: it removes its unfinished files and ends its workers.

Then the process ends by the signal itself, so that a shell sees 143 or 129. A second signal ends it at once.
An exception may be lost on its way, for example in a destructor, so what was received is noted, too: then the
command ends as usual, and the exit code still says that it was stopped.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = ("SIGTERM", "SIGHUP")


class Stopped(KeyboardInterrupt):
    """The process was told to end."""


@contextmanager
def ending_by_signal() -> Iterator[Callable[[], bool]]:
    """A block that the signals stop; one that was given another meaning before, as by `nohup`, keeps it.

    Yields:
        Whether Ctrl-C was pressed in the block.
    """
    received: list[int] = []
    interrupts: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    taken = _taken() if is_main else []
    hears_interrupts = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def interrupt(number: int, _: Any) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    def stop(number: int, _: Any) -> None:
        received.append(number)
        _leave_to_system(taken)
        raise Stopped

    for number in taken:
        signal.signal(number, stop)
    if hears_interrupts:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield lambda: bool(interrupts)
    finally:
        if hears_interrupts:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _leave_to_system(taken)
        if received:
            os.kill(os.getpid(), received[0])


def _taken() -> list[int]:
    known = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is signal.SIG_DFL]


def _leave_to_system(numbers: list[int]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
