"""Two forwards line by line, and the page of differences."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from attn_inject.display.code_rows import code_rows
from attn_inject.display.diff_html import diff_fragment, diff_html
from attn_inject.display.diff_page import diff_page
from attn_inject.display.page import for_terminal
from tests.display.samples import differing

CALL = "a = self.attn_inject(x)"


@pytest.mark.parametrize(
    ("a", "b", "rows"),
    [
        ("x\ny = x", f"x\n{CALL}\ny = a", [("", "x", "x"), ("+", "", CALL), ("~", "y = x", "y = a")]),
        (f"{CALL}\nreturn a", "return x", [("-", CALL, ""), ("~", "return a", "return x")]),
        ("x = 1\nreturn x", "z = f()\nreturn z",
         [("+", "", "z = f()"), ("-", "x = 1", ""), ("~", "return x", "return z")]),
        ("return x", "return x", [("", "return x", "return x")]),
        ("a = 1", "", [("-", "a = 1", "")]),
    ],
)  # fmt: skip
def test_lines_that_belong_together_stand_side_by_side(a, b, rows):
    assert code_rows(a, b) == rows


def test_no_line_is_lost_or_repeated():
    block = differing().blocks[0]
    rows = code_rows(block.a.forward, block.b.forward)
    assert [left for mark, left, _ in rows if mark != "+"] == block.a.forward.splitlines()
    assert [right for mark, _, right in rows if mark != "-"] == block.b.forward.splitlines()
    assert [right for mark, _, right in rows if mark == "+"] == ["    attn_inject = self.attn_inject(conv)"]


@pytest.mark.parametrize("width", [80, 60])
def test_it_fits_a_terminal(width):
    assert max(map(len, for_terminal(diff_page(differing()), width=width).splitlines())) <= width


class Nesting(HTMLParser):
    """Every element is closed by its own end tag."""

    open: tuple[str, ...] = ()

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open += (tag,)
        assert not {"src", "href", "onclick", "onload"} & {name for name, _ in attrs}

    def handle_endtag(self, tag):
        *self.open, last = self.open
        self.open = tuple(self.open)
        assert last == tag


def test_the_page_is_one_whole_file():
    page = diff_html(differing())
    nesting = Nesting()
    nesting.feed(page)
    assert nesting.open == ()
    assert "url(" not in page
    assert "@import" not in page
    assert re.search(r'<tr class="added"><td>\+.*self\.attn_inject\(conv\)', page)
    assert diff_fragment(differing()) in page
