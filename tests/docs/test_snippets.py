"""Everything executable in the README and the manual is executed, page by page, and its output compared."""

from __future__ import annotations

import difflib

import pytest

from tests.docs.pages import blocks, name_of, pages
from tests.docs.session import Session, Shown, agrees


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    session = Session(tmp_path)
    yield session
    session.close()


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_page_shows_what_happens(page, session):
    wrong = [shown for block in blocks(page) for shown in session.follow(block) if not shown.is_true]
    assert not wrong, "\n\n".join(map(difference, wrong))


def difference(shown: Shown) -> str:
    lines = difflib.unified_diff(
        shown.expected.splitlines(), shown.printed.splitlines(), "shown", "printed", lineterm="", n=1
    )
    return f"{name_of(shown.page)}:{shown.line}: {shown.what}\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("expected", "printed", "verdict"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a  \n\n", True),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nd\n", True),
        ("saved ... in 3 s\n", "saved x.pt in 3 s\n", True),
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
