from __future__ import annotations

import json

import pytest

from attn_inject.request import ModelRequest
from tests.display.samples import differing


def test_the_page_is_printed(program, api):
    outcome = program("diff", "resnet50", "model.pt", "--trust")
    assert outcome.out.startswith("A is [a].pt (timm), B is b.pt (timm)\n3 blocks changed")
    assert "+                               attn_inject = self.attn_inject(conv)\n" in outcome.out
    names = ("resnet50", "model.pt")
    assert api.calls == [("diff", tuple(ModelRequest(name=name, trust=True) for name in names), {})]


def test_json_is_the_documented_document(program, api):
    written = json.loads(json.dumps(differing().to_json()))
    assert program("diff", "a", "b", "--json").document == written


def test_options_of_an_architecture_are_not_for_a_file(program, api, tmp_path):
    file = tmp_path / "m.pt"
    file.write_bytes(b"")
    program("diff", "resnet50", str(file), "--num-classes", "7", "--input-size", "96")
    [(_, (named, saved), _)] = api.calls
    assert (named.num_classes, named.input_size) == (7, (3, 96, 96))
    assert saved == ModelRequest(name=str(file))


def test_the_page_is_written_and_nothing_replaced(program, api, tmp_path):
    page = tmp_path / "d.html"
    outcome = program("diff", "a", "b", "--out", str(page))
    assert (outcome.code, outcome.out, outcome.err) == (0, "", f"note: saved {page}\n")
    assert page.read_text().startswith("<!doctype html>")
    api.calls.clear()
    refused = program("diff", "a", "b", "--out", str(page))
    assert (refused.code, api.calls) == (9, [])
    assert program("diff", "a", "b", "--out", str(page), "--force", "--json").document["added"]


@pytest.mark.parametrize(("arguments", "told"), [(("a",), "B"), (("a", "b", "--out", "d.pdf"), "d.html")])
def test_refused_before_the_work(program, api, arguments, told):
    outcome = program("diff", *arguments)
    assert (outcome.code, api.calls) == (2, [])
    assert told in outcome.err
