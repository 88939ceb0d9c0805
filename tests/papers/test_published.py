"""The published rows of the evidence: our figure is the printed one, or the record says which and why."""

import pytest

from attn_inject.attention.factory import resolve
from tests.papers.published import PUBLISHED, figure

every_row = pytest.mark.parametrize(
    ("file", "row"),
    PUBLISHED,
    ids=lambda value: getattr(value, "spec", None) and f"{value.spec} {value.unit}",
)


@every_row
def test_our_figure_is_the_stated_one(file, row):
    assert figure(row) == (row.ours or row.printed)


@every_row
def test_another_figure_has_a_reason(file, row):
    assert bool(row.ours) == bool(row.reason)
    assert row.ours != row.printed


@every_row
def test_a_row_is_of_its_own_module(file, row):
    assert resolve(row.spec, 256).entry.target.startswith(f"attn_inject.attention.{file}:")
