"""Exported models compute the same as the model, for any batch size, or the error says why not."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

import attn_inject
from attn_inject.attention import registry
from attn_inject.errors import CheckFailedError, FileError, MissingExtraError, ModelError, UsageError
from attn_inject.files.exports import exporter
from attn_inject.files.exports.agreement import Agreement, is_as_exact, is_close
from tests.files.exports.modules import MAP, OnMaps, OnTokens
from tests.nets import build, make_generic

NAMES = tuple(registry.entries())


# torch.onnx takes a second and more for each, and a minute for sasa; `tests.benchmarks.exports --alone`
# does it with every one of them.
IN_ONNX = ("se", "ela-l", "sa", "cbam", "ge-theta", "srm")


@pytest.mark.parametrize(("suffix", "kind", "names"), [(".pt2", OnMaps, NAMES), (".onnx", OnTokens, IN_ONNX)])
def test_modules_of_the_catalogue_export(tmp_path, kind, names, suffix):
    torch.manual_seed(0)
    model = make_generic(kind(names)).eval()
    told = exporter.export(model, tmp_path / f"model{suffix}", MAP)
    assert told.samples == exporter.BATCH_SIZE + exporter.OTHER_BATCH_SIZE
    assert told.difference <= 1e-4 * told.largest
    assert told.top1 is None
    assert (tmp_path / f"model{suffix}").stat().st_size > 0


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    result = attn_inject.inject("resnet10t", "ela-l", input_size=(3, 64, 64), check="off")
    make_generic(result.model).train()
    return attn_inject.save(result, tmp_path_factory.mktemp("saved") / "model.pt")


RUN = {
    ".pt2": "import sys, torch; model = torch.export.load(sys.argv[1]).module(); out = model(x)",
    ".onnx": "import sys, torch, onnxruntime as ort; s = ort.InferenceSession(sys.argv[1]);"
    "out = torch.from_numpy(s.run(None, {s.get_inputs()[0].name: x.numpy()})[0])",
}


@pytest.mark.parametrize("suffix", exporter.SUFFIXES)
def test_an_exported_file_runs_without_us_on_any_batch(tmp_path, saved, suffix):
    path, out = tmp_path / f"model{suffix}", tmp_path / "out.pt"
    told = attn_inject.export(saved, path)
    assert (told["top1"], told["samples"], told["format"]) == (5, 5, suffix.removeprefix("."))
    assert told["bytes"] == path.stat().st_size
    head, _, body = RUN[suffix].partition(";")
    script = (
        f"{head}; x = torch.linspace(-1, 1, 4 * 3 * 64 * 64).reshape(4, 3, 64, 64);"
        f"{body}; torch.save(out, sys.argv[2]); assert 'attn_inject' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, path, out], check=True, cwd=tmp_path)
    image = torch.linspace(-1, 1, 4 * 3 * 64 * 64).reshape(4, 3, 64, 64)
    with torch.no_grad():
        expected = attn_inject.load(saved)(image)
    assert torch.allclose(torch.load(out), expected, atol=1e-4 * float(expected.abs().max()))


def test_a_file_becomes_the_other_format_and_back(tmp_path, saved):
    other, again = tmp_path / "model.safetensors", tmp_path / "again.pt"
    assert attn_inject.export(saved, other)["samples"] is None
    attn_inject.export(other, again)
    assert again.read_bytes() == saved.read_bytes()
    attn_inject.export(attn_inject.load(saved), tmp_path / "hand.safetensors")
    assert (
        attn_inject.describe(tmp_path / "hand.safetensors")["digest"] == attn_inject.describe(other)["digest"]
    )


def test_a_model_in_hand_keeps_its_modes(tmp_path):
    model = build("test_resnet").train()
    model.layer1.eval()
    before = [module.training for module in model.modules()]
    told = attn_inject.export(model, tmp_path / "model.pt2", input_size=(3, 64, 64), batch_size=1)
    assert [module.training for module in model.modules()] == before
    assert (told["samples"], told["batch_size"]) == (1, 1)


class Stubborn(nn.Module):
    """Looks at the size of its batch."""

    def forward(self, x):
        return x[0] if x.shape[0] == 2 else x.mean(0)


class Double(nn.Module):
    """Computes something else when it is exported."""

    def forward(self, x):
        return x * 2 if torch.compiler.is_exporting() else x


@pytest.mark.parametrize("suffix", exporter.SUFFIXES)
def test_a_model_that_cannot_be_exported_is_told_why(tmp_path, suffix):
    with pytest.raises(ModelError, match=r"cannot export this model|exported model does not run") as caught:
        exporter.export(Stubborn(), tmp_path / f"model{suffix}", MAP)
    assert "--batch-size N" in caught.value.hint
    assert len(caught.value.message) < 500
    assert not list(tmp_path.iterdir())
    assert exporter.export(Stubborn(), tmp_path / f"model{suffix}", MAP, batch_size=2).difference == 0


class Chooses(nn.Module):
    """Returns as many rows as have a mean above zero, as a detector returns boxes."""

    def forward(self, x):
        chosen = x[x.mean((1, 2, 3)) > 0]
        return chosen if len(chosen) > 1 else x


@pytest.mark.parametrize("suffix", exporter.SUFFIXES)
def test_a_model_that_decides_by_values_is_refused_in_few_words(tmp_path, suffix, capfd):
    with pytest.raises(ModelError, match="cannot export this model") as caught:
        exporter.export(Chooses(), tmp_path / f"model{suffix}", MAP)
    assert "control flow depends on values" in caught.value.hint
    assert capfd.readouterr().err == ""


def test_a_program_that_computes_something_else_is_not_kept(tmp_path):
    (tmp_path / "model.pt2").write_text("old")
    with pytest.raises(CheckFailedError, match="differ from the model's by up to"):
        exporter.export(Double(), tmp_path / "model.pt2", MAP, force=True)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("model.pt2", "old")]


def figures(difference):
    return Agreement(samples=1, largest=1.0, difference=difference, top1=1)


def test_outputs_that_are_no_numbers_do_not_agree():
    nan = figures(float("nan"))
    assert not is_close(nan)
    assert not is_as_exact(figures(1.0), nan)
    assert not is_as_exact(nan, nan)


def test_a_badly_conditioned_model_is_measured_by_its_own_precision():
    assert is_close(figures(1e-3))
    assert not is_close(figures(1.1e-3))
    assert is_as_exact(figures(1e-3), figures(9e-3))
    assert not is_as_exact(figures(1e-3), figures(1.1e-2))


def test_the_extra_is_named_before_anything_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match="onnxscript") as caught:
        attn_inject.export("none.pt", tmp_path / "model.onnx")
    assert caught.value.hint == "pip install 'attn-inject[onnx]'"


@pytest.mark.parametrize(
    ("out", "error", "told"),
    [("model.tflite", UsageError, ".safetensors, .pt2, .onnx"), ("none/model.onnx", FileError, "mkdir")],
)
def test_targets_are_refused_before_anything_is_loaded(tmp_path, out, error, told):
    with pytest.raises(error) as caught:
        attn_inject.export("none.pt", tmp_path / out)
    assert told in str(caught.value)
