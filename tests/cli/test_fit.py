from __future__ import annotations

import shlex

import pytest

from attn_inject.request import ModelRequest

SITES = ["--where", "layer2.3", "--where", "layer3.5"]


def test_the_command_is_printed(program, api):
    text = program("fit", "resnet50", "--attn", "se", "--max-params", "+2%").out
    assert text.startswith(
        "se at 2 of 16 sites of resnet50 (timm) stays inside --max-params +2%\nlayer2.3, layer3.5\n"
    )
    command = shlex.split(text.splitlines()[-1])
    assert command == ["attn-inject", "resnet50", "--attn", "se", *SITES, "--out", "model.pt"]
    [(_, (request, plan, budget), _)] = api.calls
    assert (request, str(budget)) == (ModelRequest(name="resnet50"), "--max-params +2%")
    assert [str(spec) for spec in plan.attention] == ["se"]
    assert plan.placement == "after"


def test_the_command_says_again_what_was_asked(program, api):
    given = ["--placement", "before-add", "--start", "paper", "--blocks", "family"]
    more = ["--num-classes", "7", "--input-size", "96", "--model-arg", "drop_rate=0.1"]
    outcome = program(
        "fit", "resnet50", "--attn", "se", *given, *more, "--stage", "2,3", "--max-flops", "+1%", "--json"
    )
    command = shlex.split(outcome.document["command"])
    assert command == ["attn-inject", "resnet50", "--attn", "se", *given, *more, *SITES, "--out", "model.pt"]
    assert outcome.document["sites"] == ["layer2.3", "layer3.5"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("resnet50", "--max-params", "+2%"), 2, "--attn"),
        (("resnet50", "--attn", "se", "--attn", "eca", "--max-params", "+2%"), 2, "One --attn"),
        (("resnet50", "--attn", "ela", "--max-params", "+2%"), 3, "ela-"),
        (("resnet50", "--attn", "se", "--max-params", "2%"), 2, "+1%"),
        (("resnet50", "--attn", "se", "--placement", "befor", "--max-params", "+2%"), 3, "before-add"),
    ],
)
def test_refused_before_the_work(program, api, arguments, code, told):
    outcome = program("fit", *arguments)
    assert (outcome.code, api.calls) == (code, [])
    assert told in outcome.err
