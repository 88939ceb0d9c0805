"""What `inject` asks the API for, and what it refuses before torch is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from attn_inject.request import AttentionSpec, ModelRequest, Plan

DRY = ("--dry-run",)


@pytest.mark.parametrize(
    "arguments",
    [
        ("resnet50", "--attn", "se", "--out", "m.pt"),
        ("inject", "resnet50", "--attn", "se", "--out", "m.pt"),
        ("--attn", "se", "resnet50", "--out", "m.pt"),
        ("--attn", "se", "--out", "m.pt", "resnet50"),
        ("--attn=se", "--out=m.pt", "resnet50"),
        ("inject", "--attn", "se", "resnet50", "-o", "m.pt"),
        ("-o", "m.pt", "--attn", "se", "--", "resnet50"),
    ],
)
def test_options_stand_before_or_after_the_model(program, api, arguments):
    assert program(*arguments).code == 0
    [(name, (request, plan), options)] = api.calls
    assert (name, request) == ("inject", ModelRequest(name="resnet50"))
    assert plan == Plan(attention=(AttentionSpec(name="se"),))
    assert (options["out"], options["dry_run"], options["force"]) == (Path("m.pt"), False, False)


def test_every_option_reaches_the_api(program, api):
    outcome = program(
        *("torchvision/resnet18", "--attn", "layer[34].*=sa:groups=8", "--attn", "ela-l"),
        *("--placement", "before-add", "--where", "layer*", "--where", "x.[ab]", "--skip", "layer1.0"),
        *("--stage", "3,4", "--blocks", "family", "--at", "features.*", "--start", "identity"),
        *("--pretrained", "--weights", "w.pt", "--num-classes", "10", "--input-size", "3,96,128"),
        *("--model-arg", "drop_path_rate=0.1", "--model-arg", "act-layer=silu", "--check", "structure"),
        *("--seed", "7", "--strict", "--dry-run", "--force", "--out", "x.pt", "--quiet"),
        *("--only", "attention", "--keep-replaced"),
    )
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    [(_, (request, plan), options)] = api.calls
    assert request == ModelRequest(
        name="torchvision/resnet18",
        pretrained=True,
        weights="w.pt",
        num_classes=10,
        input_size=(3, 96, 128),
        model_args={"drop_path_rate": 0.1, "act_layer": "silu"},
    )
    assert plan == Plan(
        attention=(
            AttentionSpec(name="sa", options={"groups": 8}, where="layer[34].*"),
            AttentionSpec(name="ela-l"),
        ),
        placement="before-add",
        where=("layer*", "x.[ab]"),
        skip=("layer1.0",),
        stages=(3, 4),
        blocks="family",
        at=("features.*",),
        start="identity",
        stem=False,
        strict=True,
        check="structure",
        seed=7,
    )
    assert callable(options.pop("progress"))
    assert options == {
        "out": Path("x.pt"),
        "force": True,
        "dry_run": True,
        "only": "attention",
        "keep_replaced": True,
    }


@pytest.mark.parametrize(
    ("text", "size"),
    [("224", (3, 224, 224)), ("224,320", (3, 224, 320)), ("3,16,112,112", (3, 16, 112, 112))],
)
def test_short_input_sizes(program, api, text, size):
    program("resnet50", "--attn", "se", *DRY, "--input-size", text)
    assert api.calls[0][1][0].input_size == size


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("resnet50",), "Add --attn NAME"),
        (("resnet50", "--attn", "se"), "Add --out FILE, or --dry-run"),
        (("--attn", "se", *DRY), "Missing argument 'MODEL'."),
        (("--attn", "se", *DRY), "`attn-inject resnet50 --attn ela-l --out model.pt`"),
        (("resnet50", "--attn", "se", "eca", *DRY), "--attn se --attn eca"),
        (("--attn", "se", "eca", "resnet50", *DRY), "--attn se --attn eca"),
        (("resnet50", "resnet18", "--attn", "se", *DRY), "inject takes one model"),
        (("resnet50", "--atn", "se", *DRY), "--attn"),
        (("resnet50", "--attn", "=se", *DRY), "[GLOB=]NAME"),
        (("resnet50", "--attn", "se", *DRY, "--stage", "0"), "--stage 0"),
        (("resnet50", "--attn", "se", *DRY, "--stage", "3-4"), "3,4"),
        (("resnet50", "--attn", "se", *DRY, "--input-size", "big"), "3,224,224"),
        (("resnet50", "--attn", "se", *DRY, "--input-size", "1,2,3,4,5"), "5 numbers"),
        (("resnet50", "--attn", "se", *DRY, "--model-arg", "x"), "KEY=VALUE"),
        (("resnet50", "--attn", "se", *DRY, "--num-classes", "ten"), "--num-classes"),
        (("lst",), "`attn-inject list`"),
        (("site", "resnet50"), "`attn-inject sites`"),
    ],
)
def test_usage_errors_are_told_on_stderr_only(program, api, arguments, told):
    outcome = program(*arguments)
    assert api.calls == []
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert "hint: " in outcome.err
    assert told in outcome.err
    assert "Traceback" not in outcome.err


def test_no_argument_at_all_is_a_question(program, api):
    outcome = program()
    assert (outcome.code, outcome.err) == (0, "")
    assert "Usage: attn-inject" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--attn", "ela"), "ela-"),
        (("--attn", "se", "--placement", "before"), "before-add"),
        (("--attn", "se", "--start", "ident"), "identity"),
        (("--attn", "se", "--check", "all"), "full"),
        (("--attn", "se", "--blocks", "families"), "family"),
    ],
)
def test_unknown_words_name_the_nearest(program, api, arguments, told):
    outcome = program("resnet50", *arguments, *DRY, "--json")
    assert (outcome.code, api.calls) == (3, [])
    assert outcome.document["error"]["code"] == "unknown-name"
    assert told in outcome.err


def test_the_report_goes_to_stdout_and_notes_to_stderr(program, api):
    outcome = program("resnet50", "--attn", "se", "--out", "m.pt")
    assert outcome.out.startswith("inserted 16 modules at 16 sites of resnet50 (timm), skipped 0\n")
    assert outcome.out.endswith("saved m.pt\n")
    assert outcome.err == (
        "note: torchvision has a resnet50 too; write torchvision/resnet50 for it.\n"
        "note: the base's weights are random; for trained ones add --pretrained or --weights FILE\n"
    )


def test_json_is_one_document_whatever_libraries_print(program, api):
    api.noise = "Downloading ..."
    outcome = program("resnet50", "--attn", "se", "--out", "m.pt", "--json")
    assert outcome.document["delta"]["params"] == 876_032
    assert outcome.document["file"] == "m.pt"
    assert "Downloading ..." in outcome.err


def test_quiet_says_nothing_and_json_stays(program, api):
    base = ("resnet50", "--attn", "se", "--out", "m.pt", "--quiet")
    assert program(*base)[1:] == ("", "")
    assert program(*base, "--json").document["model"] == "resnet50"
