"""Why a process died, from its exit code and its last output."""

from __future__ import annotations

import signal

from attn_inject.zoo.engine import Failure

_LAST_WORDS = 2000


def explain(exit_code: int | None, printed: str, memory: int) -> Failure:
    """The failure of a dead process.

    Args:
        exit_code: As multiprocessing reports it, negative for a signal; None or 255 if unknown.
        printed: What it wrote to stdout and stderr.
        memory: Bytes that it held when last measured, 0 if never.
    """
    # Python's fault handler ends with a list of every library that is loaded.
    words = printed.partition("\nExtension modules:")[0].strip()[-_LAST_WORDS:]
    held = f" It held {memory / 1e9:.2f} GB when last measured." if memory else ""
    if exit_code == -signal.SIGKILL:
        return Failure(
            code="memory",
            message=f"Its process was killed from outside, most likely because memory ran out.{held}",
            hint="Use fewer --jobs, or less memory with --check off.",
            detail=words,
        )
    if exit_code is not None and exit_code < 0:
        reason = f"Its process crashed with {_signal_name(-exit_code)}."
    elif exit_code in (None, 255):
        reason = "Its process disappeared."
    else:
        reason = f"Its process ended itself with exit code {exit_code}."
    return Failure(
        code="crash",
        message=reason,
        hint="The ledger has its last output; the fault is in a library or in the model's own code.",
        detail=words,
    )


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
