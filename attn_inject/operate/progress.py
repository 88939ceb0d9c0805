"""The current step, for a progress display and for the log `attn_inject`; nothing is printed."""

from __future__ import annotations

import logging
from collections.abc import Callable

ProgressCallback = Callable[[str], None]

log = logging.getLogger("attn_inject")


def logged(progress: ProgressCallback | None) -> ProgressCallback:
    """A callback that also writes each step to the log, at INFO."""

    def say(step: str) -> None:
        log.info(step)
        if progress is not None:
            progress(step)

    return say
