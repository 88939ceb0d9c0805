"""One list of nasty texts, and every place that shows texts."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import re
import tomllib

import pytest

from attn_inject.cost.comparison import Comparison, Side
from attn_inject.cost.cost import Cost
from attn_inject.difference import BlockState, ChangedBlock, Difference, Reshaped
from attn_inject.display.diff_html import diff_html
from attn_inject.display.escaping import csv_cell, html_json, html_text, markdown_cell, printable
from attn_inject.display.grid import Table
from attn_inject.files.request_toml import recipe_text
from attn_inject.zoo.card import card_text
from attn_inject.zoo.engine import Failure
from attn_inject.zoo.index_page import page_text
from attn_inject.zoo.record import Record
from attn_inject.zoo.rows import index_document
from tests.display.nasty import NASTY

nasty = pytest.mark.parametrize("text", NASTY, ids=ascii)


def is_quiet(text):
    return all(character.isprintable() or character == "\n" for character in text)


def is_formula(cell):
    """As spreadsheets see it: what begins so and is not a number."""
    return (
        cell.lstrip()[:1] in "=+-@" and cell != "" and not re.fullmatch(r"[+-]?[\d.,]*( ?[%A-Za-z]+)?", cell)
    )


@nasty
def test_a_terminal_shows_it_all_and_obeys_nothing(text):
    assert is_quiet(printable(text))
    assert is_quiet(Table.of("name", [(text,)]).for_pipe())


@nasty
def test_a_spreadsheet_computes_nothing(text):
    assert not is_formula(csv_cell(text))
    [_, [cell]] = csv.reader(io.StringIO(Table.of("name", [(text,)]).to_csv()))
    assert not is_formula(cell)
    assert is_quiet(cell)


@pytest.mark.parametrize("figure", ["-1", "+12.5%", "-0.3", "1e-05", "-", "+1.5 kB", "", "-1e-05", "0.5M"])
def test_figures_stay_figures(figure):
    assert csv_cell(figure) == figure


@nasty
def test_markdown_stays_text(text):
    cell = markdown_cell(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[<`\[|*!&]", cell)
    assert "\n" not in cell
    assert re.sub(r"\\([\\`*\[\]<>|&!])", r"\1", cell) == " ".join(printable(text).split("\n"))


@nasty
def test_html_stays_text(text):
    shown = html_text(text)
    assert not re.search(r"[<>\"']", shown)
    assert html.unescape(shown) == printable(text)
    assert json.loads(html_json(text)) == text
    assert not re.search("[<>&]", html_json(text))


def failed(text):
    failure = Failure(code="model", message=text, hint=text)
    more = {"placement": "after", "status": "failed", "failure": failure}
    return Record(key="k", file=f"a/{text}.pt", model=text, attention=(text,), **more)


@nasty
def test_a_zoos_page_and_card_hold_no_markup_of_a_model(text):
    document = index_document([failed(text)])
    page = page_text(document)
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(data) == document
    assert page.replace(data, "") == page_text({}).replace("{}", "", 1)
    card = card_text([failed(text)], document["outputs"], {})
    assert is_quiet(card)
    assert not re.search(r"(?<!\\)(<script|<img|!\[|\]\()", card)


@nasty
def test_a_page_of_differences_holds_no_markup_of_a_model(text):
    state = BlockState(block=text, forward=f"def {text}", base_forward=text)
    other = dataclasses.replace(state, forward=f"other {text}")
    block = ChangedBlock(name=text, a=state, b=other, added=(text,), removed=(text,))
    shaped = (Reshaped(key=text, a=(1,), b=(2,)),)
    side = Side(model=text, source=text, figures=Cost(), inserted=())
    costs = Comparison(a=side, b=side)
    page = diff_html(
        Difference(costs=costs, blocks=(block,), added=(text,), removed=(text,), reshaped=shaped)
    )
    assert is_quiet(page)
    tags = re.findall(r"<[^>]*>", page.partition("</style>")[2])
    plain = r"</?(div|h1|h2|p|br|table|tr|th|td|span|ul|li|details|summary|body|html)( [^<>]*)?>"
    assert [tag for tag in tags if not re.fullmatch(plain, tag)] == []
    assert "onerror=" not in "".join(tags)


@nasty
def test_a_recipe_is_toml_that_a_terminal_can_show(text):
    plan = {"attention": [{"name": "se", "options": {}, "where": "*"}], "where": [text]}
    content = {
        "file": text, "versions": {text: text}, "source": "object", "model": text, "plans": [plan],
        "input_size": None, "arguments": {text: text},
    }  # fmt: skip
    written = recipe_text(content)
    assert is_quiet(written)
    assert tomllib.loads(written) == {"attn": ["se"], "where": [text], "model-arg": {text: text}}
