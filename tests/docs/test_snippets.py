"""Everything executable in the README and the manual is executed, page by page, and its output compared.

The reference has a file of its own, so that two processes share the work.
"""

from __future__ import annotations

import pytest

from tests.docs.pages import REFERENCE, name_of, pages
from tests.docs.session import agrees, untrue

PAGES = [page for page in pages() if not page.is_relative_to(REFERENCE)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_shows_what_happens(page, session):
    assert untrue(page, session) == ""


@pytest.mark.parametrize(
    ("expected", "printed", "verdict"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a  \n\n", True),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nd\n", True),
        ("saved ... in 3 s\n", "saved x.pt in 3 s\n", True),
        ("a...\n", "a\n", True),
        ("", "", True),
        ("a\n", "a\nb\n", False),
        ("a...\n", "a\nb\n", False),
        ("a\n...\nd\n", "a\nb\n", False),
        ("layer1.0 .. layer1.2", "layer1.0 xx layer1.2", False),
        ("", "a\n", False),
    ],
)
def test_what_three_dots_stand_for(expected, printed, verdict):
    assert agrees(expected, printed) is verdict
