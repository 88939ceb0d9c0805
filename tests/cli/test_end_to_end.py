"""The whole program on a small model with generated weights, through every room."""

from __future__ import annotations

import pytest
import torch

import attn_inject

MODEL = ("torchvision/resnet18", "--num-classes", "5", "--input-size", "64")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("end_to_end")


def test_inject_show_and_load_agree(program, folder):
    file = folder / "model.pt"
    done = program(*MODEL, "--attn", "layer[34].*=se", "--attn", "eca", "--out", str(file), "--json")
    assert done.code == 0, done.err
    report = done.document
    assert report["file"] == str(file)
    assert [site["attention"] for site in report["sites"]] == ["eca"] * 4 + ["se"] * 4
    assert all(check["passed"] for check in report["checks"])
    assert report["result"]["params"] - report["base"]["params"] == report["delta"]["params"]

    shown = program("show", str(file), "--json").document
    assert [site["name"] for site in shown["sites"]] == [site["name"] for site in report["sites"]]
    assert shown["arguments"] == {"num_classes": 5}
    assert "with 8 attention modules" in program("show", str(file)).out

    model = attn_inject.load(file)
    assert sum(p.numel() for p in model.parameters()) == report["result"]["params"]
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


def test_a_dry_run_finds_the_same_and_keeps_nothing(program, folder):
    before = sorted(folder.iterdir())
    done = program(*MODEL, "--attn", "se", "--dry-run")
    assert done.out.startswith("would insert 8 modules at 8 sites of torchvision/resnet18 (torchvision)")
    assert sorted(folder.iterdir()) == before


def test_sites_and_stats(program):
    assert program("sites", *MODEL).out.startswith("8 sites in torchvision/resnet18")
    table = program("stats", *MODEL, "--attn", "se", "--attn", "nam", "--format", "csv")
    assert [line.split(",")[2] for line in table.out.splitlines()] == ["attention", "", "se", "nam"]


def test_models_are_listed(program):
    lines = program("list", "models", "torchvision/resnet*").out.splitlines()
    assert "torchvision  resnet18" in [" ".join(line.split()).replace(" ", "  ") for line in lines]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("resnet5O", "--attn", "se", "--dry-run"), 3, "resnet50"),
        ((*MODEL, "--attn", "se:reducton=4", "--dry-run"), 3, "reduction"),
        ((*MODEL, "--attn", "se", "--where", "layer[9].*", "--dry-run"), 6, "'layer[9].*'"),
        ((*MODEL, "--attn", "se", "--model-arg", "wings=2", "--dry-run"), 5, "wings"),
        (("show", __file__), 9, "attn-inject"),
    ],
)
def test_mistakes(program, arguments, code, told):
    outcome = program(*arguments, "--json")
    assert outcome.code == code, outcome.err
    assert told in outcome.err
    assert outcome.document["error"]["message"]
    assert "Traceback" not in outcome.err
