"""A line of progress in a terminal while a command works; stdout is kept for data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout

from rich.console import Console
from rich.text import Text

from attn_inject.display.escaping import printable


@contextmanager
def working(message: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show the current step on stderr, if that is a terminal, and redirect what libraries print there.

    Yields:
        A function; call it with a sentence that describes the current step.
    """
    with redirect_stdout(sys.stderr):
        if quiet or not sys.stderr.isatty():
            yield _say_nothing
            return
        console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        with console.status(Text(printable(message))) as status:
            yield lambda text: status.update(Text(printable(text)))


def _say_nothing(text: str) -> None:
    """Progress in a pipe."""


def print_notes(notes: Iterable[str], *, quiet: bool = False) -> None:
    """Sentences for people, on stderr."""
    if not quiet:
        for note in notes:
            print(f"note: {printable(note)}", file=sys.stderr)
