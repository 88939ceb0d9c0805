"""The whole program on a small model with generated weights, through every room."""

from __future__ import annotations

import pytest
import torch
import torchvision

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


def test_a_recipe_makes_the_file_again(program, folder):
    first, plan, second = folder / "first.pt", folder / "plan.toml", folder / "second.pt"
    assert program(*MODEL, "--attn", "eca", "--stage", "3,4", "--out", str(first)).code == 0
    done = program(str(first), "--attn", "sa", "--stage", "4", "--start", "paper", "--out", str(second))
    assert done.code == 0, done.err
    plan.write_text(program("show", str(second), "--recipe").out)
    again = folder / "again.pt"
    done = program("--recipe", str(plan), "--out", str(again))
    assert done.code == 0, done.err
    one, two = (program("show", str(file), "--json").document for file in (second, again))
    assert one | {"file": ""} == two | {"file": ""}


def test_attention_alone_is_applied_to_its_base_and_taken_out_again(program, folder):
    base = folder / "base.pt"
    torch.manual_seed(1)
    weights = torchvision.models.resnet18(num_classes=5).state_dict()
    torch.save(weights, base)
    part, whole, out = folder / "part.safetensors", folder / "whole.pt", folder / "restored.pt"
    known = (*MODEL, "--weights", str(base))
    done = program(*known, "--attn", "se", "--start", "paper", "--only", "attention", "--out", str(part))
    assert f"note: {part} takes " in done.err
    assert "the whole model take 45." in done.err
    assert "with 8 attention modules" in program("show", str(part)).out
    done = program(*known, "--apply", str(part), "--out", str(whole))
    assert done.code == 0, done.err
    done = program("restore", str(whole), "--out", str(out))
    assert done.out.startswith("restored resnet18 (torchvision): 122 tensors")
    restored = torch.load(out, weights_only=True)
    assert list(restored) == list(weights)
    assert all(torch.equal(restored[name], value) for name, value in weights.items())
    refused = program(*MODEL, "--apply", str(part), "--out", str(folder / "other.pt"))
    assert refused.code == 9
    assert "The base is not the one that" in refused.err


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
