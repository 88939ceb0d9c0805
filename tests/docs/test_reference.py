"""As `test_snippets`, for the reference."""

from __future__ import annotations

import pytest

from tests.docs.pages import REFERENCE, name_of, pages
from tests.docs.session import untrue

PAGES = [page for page in pages() if page.is_relative_to(REFERENCE)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_shows_what_happens(page, session):
    assert untrue(page, session) == ""
