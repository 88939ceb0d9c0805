"""The tables on the modules' pages: our figure is the printed one, to its last digit."""

import pytest

from attn_inject.attention.factory import resolve
from tests.papers.published import PUBLISHED


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.spec} {row.unit} {row.where}")
def test_our_figure_is_the_printed_one(row):
    assert row.figure() == row.printed


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.spec} {row.unit} {row.where}")
def test_a_row_stands_on_its_modules_page(row):
    assert resolve(row.spec, 256).entry.target.startswith(f"attn_inject.attention.{row.file}:")
