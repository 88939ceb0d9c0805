"""All errors as one tree; each class has one exit code.

AttnInjectError                  1   a fault of attn-inject, if it is raised itself
├── UsageError                   2   the request itself does not parse
├── UnknownNameError             3   no such model, attention module or placement
├── MissingExtraError            4   an optional dependency is not installed
├── ModelError                   5   the model cannot be loaded or run
├── NoSiteError                  6   nothing in the model matches the request
├── FitError                     7   the placement or the module does not fit a site
├── CheckFailedError             8   the modified model failed a check; nothing was saved
├── FileError                    9   a file is unreadable, untrusted or unwritable
├── ZooError                     10  a zoo finished with failures
└── InterruptedByUserError       130 Ctrl-C

A message says what happened, where, and what to do; `hint` holds the last part.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable
from typing import ClassVar


class AttnInjectError(Exception):
    """Base of every error that attn-inject raises on purpose.

    Args:
        message: What happened and where, one paragraph.
        hint: What to do about it, one sentence.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(AttnInjectError):
    """The request does not parse."""

    exit_code = 2
    code = "usage"


class UnknownNameError(AttnInjectError):
    """No such model, attention module, option or placement."""

    exit_code = 3
    code = "unknown-name"


class MissingExtraError(AttnInjectError):
    """An optional dependency is needed and not installed."""

    exit_code = 4
    code = "missing-extra"


class ModelError(AttnInjectError):
    """The model cannot be built, loaded or run."""

    exit_code = 5
    code = "model"


class NoSiteError(AttnInjectError):
    """Nothing in the model matches the request."""

    exit_code = 6
    code = "no-site"


class FitError(AttnInjectError):
    """A placement or an attention module does not fit a site."""

    exit_code = 7
    code = "fit"


class CheckFailedError(AttnInjectError):
    """The modified model failed a check; nothing was saved."""

    exit_code = 8
    code = "check"


class FileError(AttnInjectError):
    """A file is unreadable, untrusted or unwritable."""

    exit_code = 9
    code = "file"


class ZooError(AttnInjectError):
    """A zoo finished, and some of its models failed."""

    exit_code = 10
    code = "zoo"


class InterruptedByUserError(AttnInjectError):
    """The user pressed Ctrl-C."""

    exit_code = 130
    code = "interrupted"


_LONGEST = 200  # characters of a name that is compared with the known ones


def nearest(name: str, known: Iterable[str], *, count: int = 3) -> list[str]:
    """The `count` names most similar to `name`, best first; empty only if `known` is empty.

    A name that differs in nothing but case and separators comes first, alone: `ResNet-50` is `resnet50`. Then
    those that begin with the whole name: `vit_tiny` is short for `vit_tiny_patch16_224`, and `layer1` for
    `layer1.0`.
    """
    name = name[:_LONGEST]  # comparing takes the product of the lengths
    lowered: dict[str, str] = {}
    for candidate in known:
        lowered.setdefault(candidate.lower(), candidate)
    if same := [lowered[candidate] for candidate in lowered if _bare(candidate) == _bare(name)]:
        return same[:count]
    begins = (f"{name.lower()}_", f"{name.lower()}.")
    longer = [candidate for candidate in lowered if candidate.startswith(begins)]
    matches = difflib.get_close_matches(name.lower(), list(lowered), n=count, cutoff=0.0)
    best = dict.fromkeys([*sorted(longer, key=len), *matches])
    return [lowered[match] for match in best][:count]


def _bare(name: str) -> str:
    """A name without case and separators."""
    return "".join(character for character in name.lower() if character.isalnum())


def unknown_name(what: str, name: str, known: Iterable[str], *, see: str = "") -> UnknownNameError:
    """An `UnknownNameError` that names the nearest known names and where to see all of them."""
    close = nearest(name, known)
    hint = f"Did you mean {', '.join(close)}?" if close else ""
    if see:
        hint = f"{hint} `{see}` lists them all.".strip()
    is_glob = any(mark in name for mark in "*?[")
    message = f"No {what} matches {name!r}." if is_glob else f"There is no {what} called {name!r}."
    return UnknownNameError(message, hint=hint)


def text_of(error: BaseException) -> str:
    """What an error of other code says; for one that says nothing, the line of code that raised it."""
    if text := str(error).strip():
        return text
    lines = [frame.line or "" for frame in traceback.extract_tb(error.__traceback__)]
    asserted = [line for line in lines if "assert" in line and not line.startswith("raise")]
    return (asserted or lines or [""])[-1]


def all_errors() -> list[type[AttnInjectError]]:
    """Every class of the tree, its root first."""
    return [AttnInjectError, *AttnInjectError.__subclasses__()]
