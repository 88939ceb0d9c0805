"""`--recipe`, `--apply`, `--only` and `--trust`: what reaches the API, and what is refused before."""

from __future__ import annotations

from pathlib import Path

import pytest

from attn_inject.request import AttentionSpec, ModelRequest

PLAN = """
model = "resnet18"
attn = "ela-l"
stage = [3, 4]
seed = 5
num-classes = 7

[model-arg]
zero_init_last = false
"""
TWICE = (
    PLAN
    + """
[[then]]
attn = ["eca"]
placement = "before-add"
"""
)


@pytest.fixture
def plan(tmp_path):
    def write(text: str = PLAN) -> str:
        (tmp_path / "plan.toml").write_text(text)
        return str(tmp_path / "plan.toml")

    return write


def test_a_recipe_is_a_request(program, api, plan):
    assert program("--recipe", plan(), "--out", "m.pt").code == 0
    [(name, (request, asked), _)] = api.calls
    assert name == "inject"
    assert request == ModelRequest(name="resnet18", num_classes=7, model_args={"zero_init_last": False})
    assert asked.attention == (AttentionSpec(name="ela-l"),)
    assert (asked.stages, asked.seed, asked.placement) == ((3, 4), 5, "after")


def test_typed_options_come_first(program, api, plan):
    program("resnet50", "--recipe", plan(), "--attn", "se", "--stage", "2", "--seed", "0", "--dry-run")
    [(_, (request, asked), _)] = api.calls
    assert (request.name, request.num_classes) == ("resnet50", 7)
    assert asked.attention == (AttentionSpec(name="se"),)
    assert (asked.stages, asked.seed) == ((2,), 0)


def test_a_recipe_of_two_operations(program, api, plan, tmp_path):
    out = tmp_path / "m.pt"
    outcome = program("--recipe", plan(TWICE), "--out", str(out), "--seed", "9", "--only", "attention")
    (_, (first, one), options), (_, (second, two), more) = api.calls
    assert (first.name, second) == ("resnet18", "the model")
    assert one.attention == (AttentionSpec(name="ela-l"),)
    assert two.attention == (AttentionSpec(name="eca"),)
    assert "out" not in options
    assert (more["out"], more["inplace"], more["only"]) == (out, True, "attention")
    assert (one.stages, two.stages) == ((3, 4), ())
    assert (one.seed, two.seed) == (9, 9)
    assert two.placement == "before-add"
    assert outcome.out.count("inserted 16 modules") == 2
    assert program("--recipe", plan(TWICE), "--out", str(out), "--json").document["file"] == str(out)


def test_mistakes_in_a_recipe_are_told_with_their_line(program, api, plan):
    outcome = program("--recipe", plan(PLAN.replace("seed", "seeed")), "--dry-run")
    assert (outcome.code, api.calls) == (2, [])
    assert "plan.toml, line 5: there is no option 'seeed'" in outcome.err
    assert "Did you mean seed?" in outcome.err
    assert program("--recipe", plan('attn = "se"'), "--dry-run").code == 2
    assert program("--recipe", plan('model = "resnet50"'), "--dry-run").code == 2
    assert program("--recipe", "none.toml", "--dry-run").code == 9


def test_code_named_in_a_recipe_needs_trust(program, api, plan):
    path = plan(PLAN.replace("ela-l", "my.gates:Gate"))
    outcome = program("--recipe", path, "--dry-run")
    assert (outcome.code, api.calls) == (9, [])
    assert "--trust" in outcome.err
    assert program("--recipe", path, "--dry-run", "--trust").code == 0
    assert api.calls[0][1][0].trust


@pytest.mark.parametrize(
    "arguments", [("m.pt", "--attn", "se", "--dry-run"), ("sites", "m.pt"), ("stats", "m.pt")]
)
def test_trust_reaches_every_command_that_builds(program, api, arguments):
    program(*arguments, "--trust")
    [(_, (request, *_), _)] = api.calls
    assert (request[0] if isinstance(request, list) else request).trust


def test_attention_is_applied_to_its_base(program, api, tmp_path):
    out = tmp_path / "m.pt"
    outcome = program("resnet50", "--weights", "base.pt", "--apply", "attn.pt", "--out", str(out))
    assert api.calls == [
        (
            "load",
            (Path("attn.pt"),),
            {"base": ModelRequest(name="resnet50", weights="base.pt"), "trust": False, "verify": True},
        ),
        ("save", ("the model", out), {"force": False}),
        ("describe", (out,), {}),
    ]
    assert outcome.out.startswith("applied 3 attention modules of attn.pt to resnet18 (timm)\n\nsaved ")
    assert (
        program("resnet50", "--apply", "attn.pt", "--out", str(out), "--json").document["model"] == "resnet18"
    )
    program("resnet50", "--apply", "attn.pt", "--out", str(out), "--no-verify", "--force")
    assert [options["verify"] for name, _, options in api.calls if name == "load"] == [True, True, False]
    outcome = program("resnet50", "--attn", "se", "--out", str(out), "--no-verify")
    assert (outcome.code, "--no-verify goes with --apply" in outcome.err) == (2, True)


def test_a_recipe_without_weights_says_that_its_base_is_random(program, api, plan):
    told = "the base's weights are random; for trained ones add --pretrained or --weights FILE"
    assert told in program("--recipe", plan(), "--out", "m.pt").err
    assert told not in program("--recipe", plan(), "--out", "m.pt", "--quiet").err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("resnet50", "--attn", "se", "--out", "m.pt"), "--attn does not go with --apply"),
        (("resnet50", "--recipe", "p.toml", "--out", "m.pt"), "--recipe does not go with"),
        (("resnet50",), "Add --out FILE"),
        (("--out", "m.pt"), "Missing argument 'MODEL'"),
    ],
)
def test_what_does_not_go_with_apply(program, api, arguments, told):
    outcome = program(*arguments, "--apply", "attn.pt")
    assert (outcome.code, api.calls) == (2, [])
    assert told in outcome.err
