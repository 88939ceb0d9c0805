from __future__ import annotations

import csv
import io
import json

import pytest

from attn_inject.request import ModelRequest


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
        (("--json", "--format", "csv"), 2, "exclude each other"),
        (("--out", "t.xls"), 2, ".csv"),
        (("--attn", "ela"), 3, "ela-"),
        (("--placement", "befor"), 3, "before-add"),
        (("--columns", "params,flop"), 3, "flops"),
        (("--columns", "params,params"), 2, "twice"),
        (("--columns", "latency"), 2, "--latency"),
        (("--sort", "-memory"), 2, "--memory"),
        (("--sort", "param"), 3, "params"),
        (("--top", "0"), 2, "--top"),
        (("--dtype", "float8"), 3, "bfloat16"),
        (("--max-params", "1%"), 2, "+1%"),
        (("--max-latency", "+1k"), 2, "+5%"),
        (("--plot", "t.pdf"), 2, ".svg"),
        (("--compare", "a.pt"), 2, "two models"),
    ],
)
def test_refused_before_the_work(program, api, arguments, code, told):
    outcome = program("stats", *arguments)
    assert (outcome.code, api.calls) == (code, [])
    assert told in outcome.err


def test_format_json_puts_errors_on_stdout(program, api):
    assert program("stats", "--attn", "ela", "--format", "json").document["error"]["code"] == "unknown-name"


def test_budgets_and_conditions_are_handed_on(program, api):
    program(
        "stats", "--max-params", "+1%", "--max-latency", "+5%", "--latency", "--batch-size", "4", "--strict"
    )
    [(_, _, options)] = api.calls
    assert str(options["budget"]) == "--max-params +1% --max-latency +5%"
    assert (options["latency"], options["batch_size"], options["strict"]) == (True, 4, True)


def test_sorted_and_cut(program, api):
    text = program("stats", "--sort", "-flops", "--top", "2", "--format", "csv").out
    rows = [row["attention"] for row in csv.DictReader(io.StringIO(text))]
    assert rows == ["", "sa:groups=32", "se", ""]
    text = program("stats", "--sort", "params", "--format", "csv").out
    assert [row["attention"] for row in csv.DictReader(io.StringIO(text))] == [
        "",
        "eca",
        "sa:groups=32",
        "se",
        "nam",
        "",
    ]


def test_columns_in_every_format(program, api):
    columns = ("--columns", "attention,gate-bytes,delta_params")
    assert program("stats", *columns).out.splitlines()[2].split() == ["attention", "gate", "bytes", "+params"]
    header, *rows = program("stats", *columns, "--format", "csv").out.splitlines()
    assert (header, rows[1]) == ("attention,gate_bytes,delta_params", "se,,2530992")
    row = program("stats", *columns, "--json").document["rows"][1]
    assert "gate_bytes" in row
    assert row["params"] == 28088024


def test_relative(program, api):
    table = program("stats", "--relative").out
    assert "+9.90%" in table
    assert "+2.531M" not in table
    row = program("stats", "--relative", "--json").document["rows"][1]
    assert row["relative_params"] == pytest.approx(9.903, abs=0.001)


def test_two_models_side_by_side(program, api):
    text = program("stats", "--compare", "a.pt", "b.pt").out
    assert text.startswith("A is [a].pt (timm), B is b.pt (timm)\n")
    assert "eca (after)" in text
    document = program("stats", "--compare", "a.pt", "b.pt", "--json").document
    assert document["difference"]["params"] == -2530983
    assert api.calls[0][0] == "compare"


@pytest.mark.parametrize(
    ("name", "start"), [("p.svg", b"<?xml"), ("p.png", b"\x89PNG"), ("p.html", b"<!doctype")]
)
@pytest.mark.parametrize("more", [(), ("--per-site",)])
def test_pictures(program, api, tmp_path, name, start, more):
    outcome = program("stats", "--plot", str(tmp_path / name), *more, "--quiet")
    assert (outcome.code, outcome.out) == (0, "")
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_picture_needs_its_library(program, api, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = program("stats", "--plot", str(tmp_path / "p.svg"))
    assert (outcome.code, api.calls) == (4, [])
    assert "pip install 'attn-inject[plot]'" in outcome.err


def test_an_existing_picture_is_kept_unless_forced(program, api, tmp_path):
    file = tmp_path / "p.svg"
    file.write_text("mine")
    assert program("stats", "--plot", str(file)).code == 9
    assert file.read_text() == "mine"
    assert program("stats", "--plot", str(file), "--force").code == 0
