from __future__ import annotations

import csv
import io
import json

import pytest

from attn_inject.plan import ModelRequest


def test_with_no_argument_resnet50_and_every_module(program, api):
    outcome = program("stats")
    assert outcome.code == 0
    assert outcome.out.startswith("resnet50 (timm), placement after\n")
    [(_, (requests, specs), options)] = api.calls
    assert (requests, specs) == ([ModelRequest(name="resnet50")], None)
    assert (options["start"], options["stage"], options["placement"]) == ("paper", (), "after")


def test_models_and_modules(program, api):
    program("stats", "resnet18", "vgg16", "--attn", "se:reduction=8", "--attn", "eca", "--stage", "3")
    [(_, (requests, specs), options)] = api.calls
    assert [request.name for request in requests] == ["resnet18", "vgg16"]
    assert [str(spec) for spec in specs] == ["se:reduction=8", "eca"]
    assert options["stage"] == (3,)


@pytest.mark.parametrize("form", ["json", "csv", "markdown", "table"])
def test_formats_on_stdout(program, api, form):
    text = program("stats", "--format", form).out
    starts = {"json": "{", "csv": "model,source,", "markdown": "| model |", "table": "resnet50 (timm)"}
    assert text.startswith(starts[form])


def test_csv_holds_every_figure(program, api):
    rows = list(csv.DictReader(io.StringIO(program("stats", "--format", "csv").out)))
    assert (rows[1]["attention"], rows[1]["delta_params"], rows[1]["params"]) == ("se", "2530992", "28088024")
    assert rows[4]["params"] == ""
    assert rows[4]["reason"].startswith("layer1.0")


def test_json_is_the_documented_document(program, api):
    document = program("stats", "--json").document
    assert set(document) == {"rows", "uncounted", "versions"}
    assert list(document["rows"][0]) == [
        *("model", "source", "attention", "placement", "sites", "params", "flops", "activations"),
        *("delta_params", "delta_flops", "delta_activations", "reason"),
    ]


@pytest.mark.parametrize(
    ("name", "start"),
    [("t.csv", "model,source"), ("t.md", "| model |"), ("t.json", "{"), ("t.txt", "resnet50 (timm)")],
)
def test_the_suffix_decides(program, api, tmp_path, name, start):
    outcome = program("stats", "--out", str(tmp_path / name))
    assert (outcome.code, outcome.out) == (0, "")
    assert (tmp_path / name).read_text().startswith(start)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_format_beats_the_suffix_and_json_prints_too(program, api, tmp_path):
    outcome = program("stats", "--out", str(tmp_path / "t.data"), "--format", "csv", "--json")
    assert outcome.document["rows"]
    assert (tmp_path / "t.data").read_text().startswith("model,")


def test_an_existing_file_is_kept_unless_forced(program, api, tmp_path):
    file = tmp_path / "t.json"
    file.write_text("mine")
    refused = program("stats", "--out", str(file))
    assert (refused.code, api.calls, file.read_text()) == (9, [], "mine")
    assert program("stats", "--out", str(file), "--force").code == 0
    assert json.loads(file.read_text())["rows"]


def test_a_missing_folder_is_told_before_the_work(program, api, tmp_path):
    outcome = program("stats", "--out", str(tmp_path / "no" / "t.csv"))
    assert (outcome.code, api.calls) == (9, [])


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("resnet50", "--attn", "se", "eca"), 2, "--attn se --attn eca"),
        (("--format", "xls"), 3, "csv"),
        (("--json", "--format", "csv"), 2, "disagree"),
        (("--out", "t.xls"), 2, ".csv"),
        (("--attn", "ela"), 3, "ela-"),
        (("--placement", "befor"), 3, "before-add"),
    ],
)
def test_refused_before_the_work(program, api, arguments, code, told):
    outcome = program("stats", *arguments)
    assert (outcome.code, api.calls) == (code, [])
    assert told in outcome.err


def test_format_json_puts_errors_on_stdout(program, api):
    assert program("stats", "--attn", "ela", "--format", "json").document["error"]["code"] == "unknown-name"
