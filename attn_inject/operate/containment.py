"""Other people's code runs in our process: it cannot end the program, and leaves the process as it was.

Otherwise a model, an attention module or a hook that calls `sys.exit(0)` would end the program with the exit
code of success and without a file.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from torch import nn

from attn_inject.errors import ModelError
from attn_inject.operate.left_threads import still_running, threads_started_here
from attn_inject.operate.process_state import undisturbed_process

_AT_ONCE = "os._exit"
_end_at_once = os._exit
_lock = threading.Lock()
_inside: Counter[tuple[int, int]] = Counter()  # by process and thread: in how many blocks it is


@contextmanager
def contained() -> Iterator[None]:
    """A block, or a function, in which other people's code neither ends the program nor changes its state.

    `os._exit` is replaced meanwhile, and still works in other threads and in forked processes. Code that
    took it out of `os` before ends the process, and so does a signal. A zoo's worker is a separate process,
    and the zoo reports its end.

    Raises:
        ModelError: It tried to end the program, or left a thread that would keep the program from ending; the
            module and the line are named.
    """
    try:
        with threads_started_here() as started, undisturbed_process(), _nothing_ends_at_once():
            yield
    except SystemExit as error:
        still_running(started)
        if _is_closed_pipe(error):
            raise
        what = _AT_ONCE if _AT_ONCE in getattr(error, "__notes__", ()) else "sys.exit"
        raise ModelError(
            f"{_culprit(traceback.walk_tb(error.__traceback__))} called {what}({error.code!r}), which would "
            "end the program.",
            hint="Remove the call, or raise an exception instead; nothing was saved.",
        ) from error
    except BaseException:
        still_running(started)
        raise
    left = still_running(started)
    if left is not None:
        raise ModelError(
            f"{_culprit(left.frames)} started the thread {left.thread.name}, which still runs and would keep "
            "the program from ending.",
            hint="End the thread, or start it with daemon=True.",
        )


@contextmanager
def _nothing_ends_at_once() -> Iterator[None]:
    here = os.getpid(), threading.get_ident()
    with _lock:
        _inside[here] += 1
        os._exit = _leave
    try:
        yield
    finally:
        with _lock:
            _inside.subtract([here])
            if not +_inside:
                _inside.clear()
                os._exit = _end_at_once


def _leave(status: int) -> NoReturn:
    if _inside[os.getpid(), threading.get_ident()]:
        error = SystemExit(status)
        error.add_note(_AT_ONCE)
        raise error
    _end_at_once(status)


def _culprit(walked: Iterable[tuple[FrameType, int]]) -> str:
    """The innermost outside module that ran, or else the function, with file and line."""
    frames = [(frame, line) for frame, line in walked if not _is_known(frame)]
    if not frames:
        return "Foreign code"
    place = f"{frames[-1][0].f_code.co_filename}, line {frames[-1][1]}"
    modules = [
        frame.f_locals["self"] for frame, _ in frames if isinstance(frame.f_locals.get("self"), nn.Module)
    ]
    if modules:
        return f"{type(modules[-1]).__module__}:{type(modules[-1]).__qualname__} ({place})"
    frame = frames[-1][0]
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_name} ({place})"


def _is_known(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return package in ("attn_inject", "torch", "contextlib", "importlib", "threading", "traceback")


def _is_closed_pipe(error: BaseException | None) -> bool:
    """Whether the progress display met a closed pipe, which rich turns into SystemExit."""
    while error is not None:
        if isinstance(error, BrokenPipeError):
            return True
        error = error.__cause__ or error.__context__
    return False
