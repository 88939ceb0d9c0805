"""Every report, file and document says where the weights are from."""

import hashlib

import pytest
import timm
import torch

import attn_inject
from attn_inject.cli.main import main
from attn_inject.errors import FileError, ModelError
from attn_inject.models import network
from attn_inject.request import ModelRequest
from attn_inject.weights import WeightsOrigin

HOW = {"check": "off", "input_size": (3, 64, 64)}


def folder_of_timm(path):
    torch.manual_seed(3)
    model = timm.create_model("test_resnet", num_classes=7)
    timm.models.save_for_hf(model, path, safe_serialization=True)
    return model


def asked(kind, folder):
    """A request, and the origin that has to be stated."""
    model = timm.create_model("test_resnet")
    if kind == "random":
        return "test_resnet", WeightsOrigin(kind="random", seed=5)
    if kind == "object":
        return model, WeightsOrigin(kind="object")
    if kind == "file":
        file = folder / "w.pt"
        torch.save({"state_dict": model.state_dict()}, file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        request = ModelRequest(name="test_resnet", weights=str(file))
        return request, WeightsOrigin(kind="file", name="w.pt", sha256=digest, key="key state_dict")
    place = folder / "timm"
    folder_of_timm(place)
    request = ModelRequest(name=f"local-dir:{place}", pretrained=True)
    return request, WeightsOrigin(kind="folder", name=str(place))


@pytest.mark.parametrize("kind", ["random", "object", "file", "folder"])
def test_reports_and_files_state_it(kind, tmp_path):
    model, expected = asked(kind, tmp_path)
    file = tmp_path / "m.pt"
    result = attn_inject.inject(model, "se", seed=5, **HOW, out=file)
    assert result.report.weights == expected
    assert result.report.to_json()["weights"] == expected.to_json()
    assert attn_inject.describe(file)["weights"] == expected.to_json()
    assert f"weights {expected}" in str(result.report)
    assert expected.is_random == (kind == "random")


def test_a_file_saved_later_says_that_it_may_have_changed(tmp_path):
    result = attn_inject.inject("test_resnet", "se", **HOW)
    attn_inject.save(result.model, tmp_path / "m.pt")
    described = attn_inject.describe(tmp_path / "m.pt")["weights"]
    assert described == {"kind": "random", "seed": 0, "changed": True}
    again = attn_inject.inject(str(tmp_path / "m.pt"), "eca", **HOW)
    assert str(again.report.weights) == "random (seed 0), then changed in Python"
    assert not again.report.weights.is_random


def test_random_weights_are_said_at_the_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = "note: the base's weights are random; for trained ones add --pretrained or --weights FILE\n"
    torch.save(timm.create_model("test_resnet").state_dict(), "w.pt")
    common = ["test_resnet", "--attn", "se", "--check", "off"]
    for more, told in [
        (["--out", "a.pt"], True),
        (["--out", "b.pt", "--json"], True),
        (["--out", "c.pt", "--quiet"], False),
        (["--dry-run"], False),
        (["--out", "d.pt", "--weights", "w.pt"], False),
    ]:
        assert main([*common, *more]) == 0
        assert capsys.readouterr().err.endswith(line) == told, more


def test_a_folder_of_timm_is_a_model(tmp_path):
    """With its architecture, classes and weights; the saved file needs the folder no more."""
    base = folder_of_timm(tmp_path / "timm").eval()
    request = ModelRequest(name=f"local-dir:{tmp_path / 'timm'}", pretrained=True)
    result = attn_inject.inject(request, "se", **HOW, out=tmp_path / "m.pt")
    assert result.report.start == "identity"
    (tmp_path / "timm").rename(tmp_path / "elsewhere")
    model = attn_inject.load(tmp_path / "m.pt")
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(model(images), base(images))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("local-dir:nowhere", "'nowhere' has no config.json."),
        ("hf-hub:a/b", "Hub cannot be reached"),
    ],
)
def test_a_folder_that_cannot_be_read_is_told(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(network, "is_reachable", lambda address: False)
    with pytest.raises(FileError, match=message) as caught:
        attn_inject.inject(name, "se", **HOW)
    assert caught.value.hint


def test_without_a_network_published_weights_are_given_up_at_once(monkeypatch, capfd):
    from huggingface_hub import constants

    asked_for = []
    monkeypatch.setattr(network, "is_reachable", lambda address: asked_for.append(address))
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("a library tries again"))
    kept = constants.HF_HUB_OFFLINE
    with pytest.raises(ModelError, match="the Hugging Face Hub cannot be reached") as caught:
        attn_inject.inject(ModelRequest(name="test_resnet", pretrained=True), "se", **HOW)
    assert "--weights FILE" in caught.value.hint
    assert asked_for == [constants.ENDPOINT]
    assert kept == constants.HF_HUB_OFFLINE
    assert capfd.readouterr().err == ""
