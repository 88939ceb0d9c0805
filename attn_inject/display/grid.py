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

_BETWEEN = 2  # blanks between columns
_NARROW = 12  # columns that a text is given at least, if it is that long
_CHANGES = ("delta", "change")


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
        return self._part([i for i in range(len(self.columns)) if any(row[i] for row in self.rows)])

    def stacked(self, width: int) -> list[Table]:
        """The same columns in as many tables as it takes, so that no number is folded at `width` columns.

        Each table begins with the first column, and a change stays with its quantity.
        """
        key, *rest = range(len(self.columns))
        tables: list[list[int]] = [[key]]
        for group in self._groups(rest):
            if len(tables[-1]) > 1 and self._width([*tables[-1], *group]) > width:
                tables.append([key])
            tables[-1] += group
        return [self._part(kept) for kept in tables]

    def _part(self, kept: Sequence[int]) -> Table:
        columns = tuple(self.columns[i] for i in kept)
        return Table(columns, tuple(tuple(row[i] for i in kept) for row in self.rows))

    def _groups(self, columns: Iterable[int]) -> list[list[int]]:
        """Columns that stay together: a quantity and its change."""
        groups: list[list[int]] = []
        for index in columns:
            title = self.columns[index].title
            if groups and (title in _CHANGES or title.startswith("+")):
                groups[-1].append(index)
            else:
                groups.append([index])
        return groups

    def _width(self, columns: Sequence[int]) -> int:
        """The least width that folds no number; text may be folded."""
        return sum(map(self._narrowest, columns)) + _BETWEEN * (len(columns) - 1)

    def _narrowest(self, index: int) -> int:
        cells = [self.columns[index].title, *(row[index] for row in self.rows)]
        natural = max(map(cell_len, cells))
        return natural if self.columns[index].numeric else min(natural, _NARROW)

    def for_terminal(self) -> RichTable:
        """A rich table; cells are plain text, so brackets in names are printed as they are."""
        table = RichTable(
            box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold"
        )
        for column in self.columns:
            table.add_column(
                Text(column.title),
                justify="right" if column.numeric else "left",
                no_wrap=column.numeric,
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
