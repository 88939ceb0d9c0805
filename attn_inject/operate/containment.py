"""Other people's code may try to end the program; this becomes an error that names the code.

Otherwise a model, an attention module or a hook that calls `sys.exit(0)` would end the program with the exit
code of success and without a file.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from torch import nn

from attn_inject.errors import ModelError


@contextmanager
def contained() -> Iterator[None]:
    """A block, or a function, in which other people's code cannot end the program.

    `os._exit` still ends the process: preventing that would mean replacing it for every thread. A zoo's
    worker is a separate process, and the zoo reports its end.

    Raises:
        ModelError: It tried; the module and the line are named.
    """
    try:
        yield
    except SystemExit as error:
        if _is_closed_pipe(error):
            raise
        raise ModelError(
            f"{_culprit(error.__traceback__)} called sys.exit({error.code!r}), which would end the program.",
            hint="Remove the call, or raise an exception instead; nothing was saved.",
        ) from error


def _culprit(trace: TracebackType | None) -> str:
    """The innermost outside module that ran, or else the function, with file and line."""
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
    """Whether the progress display met a closed pipe, which rich turns into SystemExit."""
    while error is not None:
        if isinstance(error, BrokenPipeError):
            return True
        error = error.__cause__ or error.__context__
    return False
