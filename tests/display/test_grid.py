from __future__ import annotations

import csv
import io

import pytest

from attn_inject.display.escaping import printable
from attn_inject.display.grid import Table
from attn_inject.display.page import for_pipe, for_terminal

NAMES = Table.of("name|>params|remark", [("layer[34].0", "12", ""), ("[red]x[/red]", "1234", "")])


def test_plain_columns_line_up_and_end_without_blanks():
    assert NAMES.for_pipe() == ("name          params  remark\nlayer[34].0       12\n[red]x[/red]    1234")


def test_a_pipe_is_never_wrapped():
    long = Table.of("name", [("x" * 500,)])
    assert "x" * 500 in for_pipe([long])
    assert "x" * 500 not in for_terminal([long], width=80)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_brackets_survive_on_a_terminal(width):
    shown = for_terminal(["about [bold]x[/bold]", NAMES], width=width)
    joined = "".join(shown.split())
    for kept in ("layer[34].0", "[red]x[/red]", "[bold]x[/bold]"):
        assert kept in joined or width == 20


def test_wide_characters_line_up():
    assert Table.of("a|b", [("模型", "x"), ("m", "y")]).for_pipe() == "a     b\n模型  x\nm     y"


def test_empty_columns_go():
    assert [column.title for column in NAMES.without_empty_columns().columns] == ["name", "params"]


def test_markdown_escapes_its_own_marks():
    text = Table.of("a|>b", [("x|y\\z", "1")]).to_markdown()
    assert text == "| a | b |\n|---|---:|\n| x\\|y\\\\z | 1 |"


def test_csv_reads_back():
    cells = ('say "a,b"', "c;d", "")
    assert list(csv.reader(io.StringIO(Table.of("x|y|z", [cells]).to_csv())))[1] == list(cells)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 模", "plain ä 模"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb", "a\nb"),
        ("\r\x00\t", "\\r\\x00\\t"),
        ("\u202e", "\\u202e"),
    ],
)
def test_control_characters_are_spelled_out(text, shown):
    assert printable(text) == shown


def test_a_cell_is_one_line():
    assert Table.of("reason", [("two\nlines\x1b",)]).rows == (("two lines\\x1b",),)


@pytest.mark.parametrize("width", range(20, 120, 7))
def test_no_number_is_folded_at_any_width(width):
    """Wide tables are split between columns, and a change stays with its quantity."""
    figures = ["25.56M", "+2.531M +9.90%", "4.112G", "+2.516M +0.06%"]
    table = Table.of("attention|>params|>delta|>flops|>delta", [("a long name of a module", *figures)])
    shown = for_terminal([table], width=max(width, 48))
    assert all(figure in shown for figure in figures)
    headings = [line.split() for line in shown.splitlines() if line.startswith("attention")]
    assert all(line[line.index("delta") - 1] in ("params", "flops") for line in headings if "delta" in line)
    assert (len(headings) > 1) == (width < 60)
