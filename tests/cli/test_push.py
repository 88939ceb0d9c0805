from __future__ import annotations

from pathlib import Path

UPLOADED = {"repository": "org/name", "url": "https://hub/org/name/commit/1", "files": ["a", "b"]}


def test_the_page_and_the_document(program, api, monkeypatch):
    asked: list[object] = []

    def push(*given, **options):
        asked.append((given, options))
        return UPLOADED

    monkeypatch.setattr(api, "push", push, raising=False)
    outcome = program("push", "m.pt", "org/name", "--private", "--message", "New")
    assert outcome.out == "uploaded m.pt to org/name: a, b\n\nhttps://hub/org/name/commit/1\n"
    assert asked == [((Path("m.pt"), "org/name"), {"private": True, "message": "New", "trust": False})]
    assert program("push", "m.pt", "org/name", "--json").document == UPLOADED
    assert program("push", "m.pt", "org/name", "--quiet").out == ""


def test_a_repository_must_be_named(program, api):
    assert program("push", "m.pt").code == 2
