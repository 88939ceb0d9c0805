"""Reads an untrusted TOML file within bounds; every error names file and line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attn_inject.errors import FileError, UsageError

LARGEST = 2**20  # bytes
DEEPEST = 16  # nested tables and lists
_WHOLE = 2**63
_LONGEST_KEY = 100  # dots
_TEXTS = re.compile(
    r'"""(?:\\.|[^\\])*?"""|' r"'''.*?'''|" r'"(?:\\.|[^"\\\n])*"|' r"'[^'\n]*'|#[^\n]*", re.DOTALL
)
_BETWEEN_KEYS = re.compile(r"[=,\[\]{}\n]")


def read_toml_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    """The content of a TOML file: texts, numbers, true and false, lists and tables; and its text.

    Raises:
        FileError: It cannot be read, is not text, or is longer than any request.
        UsageError: It is not TOML, or holds a number too large, a date, or lists and tables too deep.
    """
    text = _text_of(path)
    # tomllib takes hours for a key with very many dots.
    if _has_long_key(text):
        raise UsageError(
            f"{path} has a key with more than {_LONGEST_KEY} dots.",
            hint="Nest tables only a few levels deep.",
        )
    try:
        document = tomllib.loads(text)
    # A number of thousands of digits raises a ValueError that is not a TOMLDecodeError.
    except (ValueError, RecursionError) as error:
        reason = "too deep" if isinstance(error, RecursionError) else str(error).partition(";")[0]
        raise UsageError(
            f"{path} is not TOML: {reason}.",
            hint="Write texts in quotes and lists in [ ], and nest tables only a few levels deep.",
        ) from None
    for key, value in document.items():
        for problem in _problems(value, 1):
            raise UsageError(f"{path}{line_of(key, text)}: {key} holds {problem}.")
    return document, text


def line_of(key: str, text: str) -> str:
    """`, line 3`, the first line of a key, which tomllib does not report."""
    pattern = re.compile(rf"""\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    lines = enumerate(text.splitlines(), start=1)
    return next((f", line {number}" for number, line in lines if pattern.match(line.lstrip())), "")


def _has_long_key(text: str) -> bool:
    """Whether something outside of texts has more dots in a row than any key."""
    return any(piece.count(".") > _LONGEST_KEY for piece in _BETWEEN_KEYS.split(_TEXTS.sub("''", text)))


def _text_of(path: str | os.PathLike[str]) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) <= LARGEST:
            return data.decode()
        reason = f"is longer than {LARGEST} bytes"
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    except ValueError:  # of decode, or of a name with a zero byte in it
        reason = "is not a text file"
    raise FileError(f"{path} {reason}.", hint="Name a TOML file.")


def _problems(value: Any, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        yield f"more than {DEEPEST} nested lists and tables"
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _problems(item, depth + 1)
    elif isinstance(value, int) and not -_WHOLE <= value < _WHOLE:
        yield "a whole number that is too large"
    elif not isinstance(value, str | int | float):
        yield f"{value}, a {type(value).__name__}, which no option takes"
