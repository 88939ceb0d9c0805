from __future__ import annotations

import json
from pathlib import Path

import pytest

from attn_inject.request import ModelRequest
from tests.display.look_sample import looked


def test_the_page_is_printed(program, api):
    outcome = program("look", "m.pt", "--images", "photos", "--images", "one.png", "--base", "resnet18")
    assert outcome.out.startswith("model[1].pt on 3 images of 2 classes\nbicubic")
    assert "layer1.0 matters: without it 1 of 3 classes change, by 0.123 nats." in outcome.out
    [(_, (request, places), options)] = api.calls
    assert (request, places) == (ModelRequest(name="m.pt"), [Path("photos"), Path("one.png")])
    assert options["base"] == ModelRequest(name="resnet18")
    assert options["bypass"]
    assert (options["mean"], options["size"], options["limit"]) == (None, None, 100)


def test_what_is_given_is_passed_on(program, api):
    given = ["--size", "96", "--mean", "0.5,0.5,0.5", "--std", "1,1,1", "--limit", "7", "--no-bypass"]
    program("look", "m.pt", "--images", "photos", *given, "--device", "cuda", "--batch-size", "2", "--trust")
    [(_, (request, _), options)] = api.calls
    assert request.trust
    assert not options["bypass"]
    assert {name: options[name] for name in ("size", "mean", "std", "limit", "device", "batch_size")} == {
        "size": 96,
        "mean": (0.5, 0.5, 0.5),
        "std": (1, 1, 1),
        "limit": 7,
        "device": "cuda",
        "batch_size": 2,
    }


def test_json_is_the_documented_document(program, api):
    outcome = program("look", "m.pt", "--images", "photos", "--json")
    assert outcome.document == json.loads(json.dumps(looked().to_json()))
    assert not {"pictures", "scales"} & outcome.document.keys()


def test_the_page_is_written_and_nothing_replaced(program, api, tmp_path):
    page = tmp_path / "look.html"
    given = ("look", "m.pt", "--images", "photos", "--out", str(page))
    outcome = program(*given)
    assert (outcome.code, outcome.err) == (0, f"note: saved {page}\n")
    assert page.read_text().startswith("<!doctype html>")
    assert api.calls.pop()[2]["class_maps"]
    assert (program(*given).code, api.calls) == (9, [])
    program(*given, "--force", "--no-class-maps")
    assert not api.calls.pop()[2]["class_maps"]


def test_quiet_prints_nothing(program, api):
    assert program("look", "m.pt", "--images", "photos", "--quiet")[:2] == (0, "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--images FOLDER"),
        (("--images", "photos", "--mean", "a,b"), "three numbers"),
        (("--images", "photos", "--batch-size", "0"), "whole number from 1"),
        (("--images", "photos", "--out", "look.pdf"), "--out look.html"),
    ],
)
def test_refused_before_the_work(program, api, arguments, told):
    outcome = program("look", "m.pt", *arguments)
    assert (outcome.code, api.calls) == (2, [])
    assert told in outcome.err
