"""While a command works: a line of progress on a terminal, and stdout kept for data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout

from rich.console import Console
from rich.text import Text

from attn_inject.display.escaping import printable


@contextmanager
def working(message: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show what is being done on stderr, if that is a terminal, and send what libraries print there too.

    Yields:
        Call it with a sentence to say what is being done now.
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
