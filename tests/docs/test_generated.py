"""What the program writes into the manual is what it would write now."""

from __future__ import annotations

import pytest

from tests.docs.generate import WRITERS, renewed
from tests.docs.pages import name_of, pages, regions, with_regions

GENERATED = [page for page in pages() if regions(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", GENERATED, ids=name_of)
def test_no_page_is_stale(page):
    text = page.read_text(encoding="utf-8")
    assert text == renewed(page), "run `python -m tests.docs.generate`"


def test_every_writer_is_asked_for():
    asked = {name for page in GENERATED for name in regions(page.read_text(encoding="utf-8"))}
    assert asked == set(WRITERS)


def test_a_region_is_written_between_its_marks():
    page = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n"
    assert regions(page) == ["x"]
    written = with_regions(page, {"x": "new"})
    assert written == "a\n<!-- generated: x -->\n\nnew\n\n<!-- end -->\nb\n"
    assert with_regions(written, {"x": "new"}) == written
