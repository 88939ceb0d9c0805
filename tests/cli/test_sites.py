from __future__ import annotations

import pytest

from attn_inject.request import ModelRequest


def test_the_page(program, api):
    outcome = program("sites", "vit_tiny", "--at", "blocks.[01]", "--blocks", "family", "--input-size", "64")
    assert outcome.code == 0
    assert outcome.out.startswith("3 sites in vit_tiny, 1 candidate rejected\n")
    [(name, (request,), options)] = api.calls
    assert (name, options) == ("find_sites", {"blocks": "family", "at": ("blocks.[01]",)})
    assert request == ModelRequest(name="vit_tiny", input_size=(3, 64, 64))


def test_the_document(program, api):
    document = program("sites", "vit[tiny]", "--json").document
    assert document["model"] == "vit[tiny]"
    assert document["sites"][2] == {
        "name": "blocks.2",
        "block": "Block",
        "layout": "NCHW",
        "channels": 8,
        "height": 7,
        "width": 7,
        "prefix": 0,
        "stage": 2,
        "calls": 2,
        "element": 1,
        "suffix": 0,
        "source": None,
        "ordered": False,
    }
    assert set(document["rejected"][0]) == {"name", "code", "reason"}


def test_a_picture_is_written_instead(program, api, tmp_path):
    file = tmp_path / "p.svg"
    outcome = program("sites", "resnet50", "--svg", str(file), "--blocks", "outer")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", f"note: saved {file}\n")
    assert file.read_text() == "<svg/>"
    assert api.calls == [("draw_placements", (ModelRequest(name="resnet50"),), {"blocks": "outer"})]
    assert program("sites", "resnet50", "--svg", str(file)).code == 9


@pytest.mark.parametrize("more", [("--svg", "p.png"), ("--svg", "p.svg", "--at", "x")])
def test_a_picture_that_cannot_be_is_refused(program, api, more):
    outcome = program("sites", "resnet50", *more)
    assert (outcome.code, api.calls) == (2, [])
