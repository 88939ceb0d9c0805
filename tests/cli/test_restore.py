from __future__ import annotations

from pathlib import Path

from tests.display.samples import restored_content


def test_the_page(program, api):
    outcome = program("restore", "m.pt", "--base", "own.pt", "--out", "base.pt", "--force")
    assert api.calls == [
        ("restore", (Path("m.pt"), Path("base.pt")), {"base": Path("own.pt"), "force": True})
    ]
    assert outcome.out == (
        "restored resnet18 (timm): 122 tensors, 11.70M elements\n"
        "left out 24 tensors of attention, 111.4k elements\n"
        "took 1 tensor from the base's own file\n\n"
        "saved base.pt\n"
    )


def test_the_document_is_what_restore_returns(program, api):
    assert program("restore", "m.pt", "--out", "b.pt", "--json").document == restored_content()
    assert program("restore", "m.pt", "--out", "b.pt", "--quiet").out == ""


def test_without_a_target_nothing_would_be_kept(program, api):
    outcome = program("restore", "m.pt")
    assert (outcome.code, api.calls) == (2, [])
    assert "Add --out FILE" in outcome.err
