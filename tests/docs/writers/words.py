"""The vocabulary: placements, starts, checks, formats, exit codes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping

from attn_inject import errors, request
from attn_inject.cli.list import FORMATS
from attn_inject.errors import AttnInjectError
from attn_inject.sites.site import RejectionCode
from tests.docs.writers.markdown import code, table


def placements() -> str:
    return _meanings("placement", request.PLACEMENTS)


def starts() -> str:
    return _meanings("start", request.STARTS)


def checks() -> str:
    return _meanings("--check", request.CHECKS)


def formats() -> str:
    return _meanings("suffix", FORMATS)


def _meanings(title: str, words: Mapping[str, str]) -> str:
    return table(f"{title}|meaning", [(code(word), meaning) for word, meaning in words.items()])


def rejection_codes() -> str:
    return table("code|meaning", [(code(str(item)), item.meaning) for item in RejectionCode])


def exit_codes() -> str:
    rows = [("0", "done", "", "")]
    rows += [
        (str(error.exit_code), _first_line(error), code(error.__name__), code(error.code))
        for error in error_classes()
    ]
    return table("exit code|meaning|in Python|`code` in JSON", rows)


def error_classes() -> Iterator[type[AttnInjectError]]:
    """Every error of the program, by exit code."""
    found = {
        item for item in vars(errors).values() if inspect.isclass(item) and issubclass(item, AttnInjectError)
    }
    yield from sorted(found, key=lambda error: error.exit_code)


def _first_line(error: type[AttnInjectError]) -> str:
    if error is AttnInjectError:
        return "A fault of attn-inject itself; a traceback is on stderr."
    return (inspect.getdoc(error) or "").partition("\n")[0]
