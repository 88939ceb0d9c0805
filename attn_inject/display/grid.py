"""One table, written four ways: for a terminal, plain columns, markdown and csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from attn_inject.display.escaping import csv_cell, markdown_cell, printable


@dataclass(frozen=True)
class Column:
    """A heading, and whether its cells are numbers (right-aligned, never wrapped)."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        columns: Headings, left to right.
        rows: Cells; every row has one cell per column.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, titles: str, rows: Iterable[Sequence[str]]) -> Table:
        """From headings joined by `|`; a heading that starts with `>` is numeric: `name|>params`."""
        columns = tuple(Column(t.removeprefix(">"), t.startswith(">")) for t in titles.split("|"))
        return cls(
            columns, tuple(tuple(" ".join(printable(cell).split("\n")) for cell in row) for row in rows)
        )

    def without_empty_columns(self) -> Table:
        """The same table without the columns in which every cell is empty."""
        kept = [i for i in range(len(self.columns)) if any(row[i] for row in self.rows)]
        columns = tuple(self.columns[i] for i in kept)
        return Table(columns, tuple(tuple(row[i] for i in kept) for row in self.rows))

    def for_terminal(self) -> RichTable:
        """A rich table; cells are plain text, so brackets in names are printed as they are."""
        table = RichTable(
            box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold"
        )
        for index, column in enumerate(self.columns):
            cells = [row[index] for row in self.rows]
            table.add_column(
                Text(column.title),
                justify="right" if column.numeric else "left",
                no_wrap=column.numeric and not any(" " in cell for cell in cells),
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return table

    def for_pipe(self) -> str:
        """Columns two blanks apart, headings first, never wrapped and never cut."""
        lines = [tuple(column.title for column in self.columns), *self.rows]
        widths = [max(cell_len(line[i]) for line in lines) for i in range(len(self.columns))]
        return "\n".join(self._plain_line(line, widths) for line in lines)

    def _plain_line(self, line: Sequence[str], widths: Sequence[int]) -> str:
        cells = []
        for cell, width, column in zip(line, widths, self.columns, strict=True):
            blanks = " " * (width - cell_len(cell))
            cells.append(blanks + cell if column.numeric else cell + blanks)
        return "  ".join(cells).rstrip()

    def to_markdown(self) -> str:
        """A pipe table; numeric columns are right-aligned."""
        lines = [tuple(column.title for column in self.columns), *self.rows]
        written = ["| " + " | ".join(markdown_cell(cell) for cell in line) + " |" for line in lines]
        rule = "|" + "|".join("---:" if column.numeric else "---" for column in self.columns) + "|"
        return "\n".join([written[0], rule, *written[1:]])

    def to_csv(self) -> str:
        """Comma-separated values with one line of headings, each line ended by a newline."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.title for column in self.columns])
        writer.writerows([csv_cell(cell) for cell in row] for row in self.rows)
        return text.getvalue()
