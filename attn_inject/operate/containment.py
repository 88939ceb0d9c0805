"""Foreign code may try to end the program; here that becomes an error that names the code.

A model, an attention module or a hook that calls `sys.exit(0)` would otherwise leave with the exit code of
success and without a file.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from torch import nn

from attn_inject.errors import ModelError


class _Exit(SystemExit):
    """`os._exit` was called."""


@contextmanager
def contained() -> Iterator[None]:
    """A block, or a function, that foreign code cannot end the program from.

    `os._exit` is replaced meanwhile, but for processes that foreign code starts by forking, and in a zoo's
    worker, which is there to be ended. Code that had it by another name before ends the program.

    Raises:
        ModelError: It tried; the module and the line are named.
    """
    try:
        with _no_hard_exit():
            yield
    except SystemExit as error:
        if _is_closed_pipe(error):
            raise
        call = "os._exit" if isinstance(error, _Exit) else "sys.exit"
        raise ModelError(
            f"{_culprit(error.__traceback__)} called {call}({error.code!r}), which would end the program.",
            hint="Take the call out, or raise an exception in its place; nothing was saved.",
        ) from error


@contextmanager
def _no_hard_exit() -> Iterator[None]:
    real, here = os._exit, os.getpid()

    def stand_in(code: int) -> Any:
        if os.getpid() != here:
            real(code)
        raise _Exit(code)

    if multiprocessing.parent_process() is not None:
        yield
        return
    os._exit = stand_in  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = real


def _culprit(trace: TracebackType | None) -> str:
    """The innermost foreign module that ran, or else the function, with file and line."""
    frames = [(frame, line) for frame, line in traceback.walk_tb(trace) if not _is_known(frame)]
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
    return package in ("attn_inject", "torch", "contextlib", "importlib")


def _is_closed_pipe(error: BaseException | None) -> bool:
    """Whether the display of progress met a closed pipe, which rich turns into SystemExit."""
    while error is not None:
        if isinstance(error, BrokenPipeError):
            return True
        error = error.__cause__ or error.__context__
    return False
