"""A page is a list of paragraphs and tables, with one form for a terminal and one for a pipe."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.text import Text

from attn_inject.display.escaping import printable
from attn_inject.display.grid import Table

Part = str | Table


def write_page(parts: Iterable[Part], stream: TextIO) -> None:
    """Write `parts` to `stream`, boxed and wrapped if it is a terminal, plain columns if not."""
    if stream.isatty():
        _print_parts(parts, Console(file=stream, highlight=False, markup=False, emoji=False))
    else:
        stream.write(for_pipe(parts))


def for_pipe(parts: Iterable[Part]) -> str:
    """The page as plain text: a blank line between parts, no wrapping, no colour."""
    return (
        "\n\n".join(part.for_pipe() if isinstance(part, Table) else printable(part) for part in parts) + "\n"
    )


def for_terminal(parts: Iterable[Part], *, width: int) -> str:
    """The page as a terminal `width` columns wide shows it, less the colours."""
    stream = io.StringIO()
    _print_parts(parts, Console(file=stream, width=width, highlight=False, markup=False, emoji=False))
    lines = stream.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _print_parts(parts: Iterable[Part], console: Console) -> None:
    for index, part in enumerate(parts):
        if index:
            console.print()
        if isinstance(part, str):
            console.print(Text(printable(part)))
            continue
        for number, table in enumerate(part.stacked(console.width)):
            if number:
                console.print()
            console.print(table.for_terminal())
