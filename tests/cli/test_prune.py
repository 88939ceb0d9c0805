from __future__ import annotations

import json
from pathlib import Path

import pytest

from attn_inject.request import ModelRequest
from tests.display.look_sample import pruned

COMMAND = ("prune", "m.pt", "--out", "pruned.pt")


def test_the_page_is_printed(program, api):
    outcome = program(*COMMAND, "--max-change", "0.01", "--images", "photos", "--latency")
    assert outcome.out.startswith("2 of 3 sites of model[1].pt taken out, --max-change 0.01 on 3 images\n")
    [(_, (request, images), options)] = api.calls
    assert (request, images) == (ModelRequest(name="m.pt"), [Path("photos")])
    given = {name: options[name] for name in ("max_change", "below", "sites", "out", "force", "latency")}
    assert given == {
        "max_change": 0.01,
        "below": None,
        "sites": (),
        "out": Path("pruned.pt"),
        "force": False,
        "latency": True,
    }


def test_without_a_bound_no_image_is_needed(program, api):
    program(*COMMAND, "--sites", "layer1.*", "--sites", "layer2.0", "--force")
    [(_, (_, images), options)] = api.calls
    assert (images, options["sites"], options["force"]) == (None, ["layer1.*", "layer2.0"], True)


def test_json_is_the_documented_document(program, api):
    document = program(*COMMAND, "--sites", "layer1.*", "--json").document
    assert document == json.loads(json.dumps(pruned().to_json()))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("prune", "m.pt"), "--out FILE"), ((*COMMAND, "--below", "x"), "--below")],
)
def test_refused_before_the_work(program, api, arguments, told):
    outcome = program(*arguments)
    assert (outcome.code, api.calls) == (2, [])
    assert told in outcome.err
