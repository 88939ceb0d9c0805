"""Folders for the Hugging Face Hub, read back by us and by timm, and uploaded to a stand-in of the Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import huggingface_hub
import pytest
import timm
import torch

import attn_inject
import attn_inject.timm
from attn_inject.errors import CheckFailedError, FileError, UsageError
from attn_inject.files import hub_folder
from tests.nets import build, make_generic
from tests.operate.hub_stand_in import hub_stand_in

IMAGES = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file with a modified model in which no branch is zero, and its output."""
    path = tmp_path_factory.mktemp("hub") / "m.pt"
    model = attn_inject.inject("test_resnet", ["layer4.*=sa", "ela-l"], start="identity").model
    attn_inject.save(make_generic(model), path)
    return path, output_of(attn_inject.load(path))


@pytest.fixture
def folder(saved, tmp_path):
    attn_inject.export(saved[0], tmp_path / "folder", format="hub")
    return tmp_path / "folder"


def output_of(model):
    with torch.no_grad():
        return model.eval()(IMAGES)


def listed(folder):
    return sorted(os.listdir(folder))


def test_the_folder_is_read_by_load_and_by_timm_bit_for_bit(saved, folder):
    assert listed(folder) == sorted(hub_folder.FILES)
    assert torch.equal(output_of(attn_inject.load(folder)), saved[1])
    assert attn_inject.describe(folder)["digest"] == attn_inject.describe(saved[0])["digest"]
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert torch.equal(output_of(model), saved[1])
    assert "attn_inject_saved" not in timm.list_models()


def test_timms_arguments_change_what_is_built_and_it_is_saved_so(folder, tmp_path):
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=5, in_chans=1)
    attn_inject.save(model, tmp_path / "five.pt")
    image = torch.randn(1, 1, 64, 64)
    again = attn_inject.load(tmp_path / "five.pt")
    assert again(image).shape == (1, 5)
    assert torch.equal(again(image), model.eval()(image))


def test_timms_own_way_of_saving_keeps_the_attention(folder, saved, tmp_path):
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    timm.models.save_for_hf(model, tmp_path / "again")
    assert torch.equal(
        output_of(timm.create_model(f"local-dir:{tmp_path / 'again'}", pretrained=True)), saved[1]
    )


def test_shared_tensors_are_there_under_every_name(tmp_path):
    base = build("test_resnet")
    base.layer3[0].bn1.weight = base.layer3[0].bn2.weight
    model = attn_inject.inject(base, "se").model
    attn_inject.save(model, tmp_path / "m.pt")
    attn_inject.export(tmp_path / "m.pt", tmp_path / "f", format="hub", base=base)
    from safetensors import safe_open

    with safe_open(tmp_path / "f" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(model.state_dict())


def test_a_model_that_replaces_is_written_without_what_it_replaced(tmp_path):
    result = attn_inject.inject("test_resnet", "sasa:kernel_size=3", placement="replace-conv")
    attn_inject.save(result, tmp_path / "m.pt", keep_replaced=True)
    attn_inject.export(tmp_path / "m.pt", tmp_path / "f", format="hub")
    model = timm.create_model(f"local-dir:{tmp_path / 'f'}", pretrained=True)
    assert torch.equal(output_of(model), output_of(result.model))


def test_an_object_and_a_torchvision_model_are_written_too(tmp_path):
    result = attn_inject.inject("torchvision/resnet18", "eca", input_size=(3, 64, 64))
    attn_inject.export(result, tmp_path / "f", format="hub")
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(attn_inject.load(tmp_path / "f")(image), result.model.eval()(image))
    with pytest.raises(FileError, match="from torchvision, not from timm"):
        timm.create_model(f"local-dir:{tmp_path / 'f'}", pretrained=True)
    assert "timm.create_model" not in (tmp_path / "f" / "README.md").read_text()


def test_the_card_states_base_modules_costs_and_checks(folder):
    text = (folder / "README.md").read_text()
    card = huggingface_hub.ModelCard(text)
    assert card.data.library_name == "timm"
    assert card.data.tags == ["attn-inject", "ela-l", "sa"]
    assert "test_resnet (timm) with 4 attention modules" in text
    assert "| layer4.0 | 1 | sa:groups=" in text
    assert "random (seed 0), then changed in Python" in text
    cost = attn_inject.compare("test_resnet", str(folder)).difference
    assert f"+{cost.params / 1000:.2f}k" in text
    assert "the same output, bit for bit" in text
    assert 'attn_inject.load("folder")' in text
    assert str(folder.parent) not in text


def test_the_license_and_the_base_of_published_weights_are_in_the_front_matter(folder):
    from attn_inject.operate.hub import _front
    from attn_inject.weights import WeightsOrigin

    config = {"license": "apache-2.0", "num_classes": 1000}
    told = _front(config, WeightsOrigin(kind="timm", name="resnet50.a1_in1k"))
    assert told == {
        "pipeline_tag": "image-classification",
        "license": "apache-2.0",
        "base_model": "timm/resnet50.a1_in1k",
    }
    assert "license" not in _front(config, WeightsOrigin(kind="file", name="mine.pt"))


def test_a_folder_is_replaced_only_with_force_and_never_one_with_other_files(saved, folder):
    with pytest.raises(FileError, match="exists already"):
        attn_inject.export(saved[0], folder, format="hub")
    before = (folder / "config.json").stat().st_ino
    attn_inject.export(saved[0], folder, format="hub", force=True)
    assert (folder / "config.json").stat().st_ino != before
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"holds other files, such as notes\.txt"):
        attn_inject.export(saved[0], folder, format="hub", force=True)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_check_that_fails_leaves_nothing(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("attn_inject.operate.hub.equal", lambda *_: False)
    with pytest.raises(CheckFailedError):
        attn_inject.export(saved[0], tmp_path / "new", format="hub")
    assert listed(tmp_path) == []


def test_a_killed_run_leaves_the_old_folder_or_the_new_one(saved, folder, monkeypatch):
    real = hub_folder.Path.rename

    def stop(self, target):
        if self.name.endswith(hub_folder._OLD) or not str(target).endswith(hub_folder._OLD):
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(hub_folder.Path, "rename", stop)
    monkeypatch.setattr(hub_folder.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        attn_inject.export(saved[0], folder, format="hub", force=True)
    assert not folder.exists()
    monkeypatch.undo()
    with pytest.raises(FileError, match="exists already"):
        attn_inject.export(saved[0], folder, format="hub")
    assert torch.equal(output_of(attn_inject.load(folder)), saved[1])
    assert listed(folder.parent) == ["folder"]


@pytest.mark.parametrize(
    ("target", "told"), [("nowhere/f", "does not exist"), ("a_file", "a_file is a file")]
)
def test_targets_that_cannot_be_made_are_refused_before_the_work(target, told, tmp_path):
    (tmp_path / "a_file").write_text("")
    with pytest.raises(FileError, match=told):
        attn_inject.export("nothing.pt", tmp_path / target, format="hub")


def test_a_folder_that_names_code_is_refused(folder, monkeypatch):
    config = json.loads((folder / "config.json").read_text())
    config["model_args"]["attn_inject_recipe"]["splices"][0]["attention"] = "os:system"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileError, match="os:system"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert attn_inject.load(folder) is not None  # which does not read config.json


def test_attention_alone_and_unknown_formats_are_refused(saved, tmp_path):
    attn_inject.save(attn_inject.load(saved[0]), tmp_path / "a.pt", only="attention")
    with pytest.raises(FileError, match="attention modules only"):
        attn_inject.export(tmp_path / "a.pt", tmp_path / "f", format="hub")
    with pytest.raises(UsageError, match="no format 'hubb'"):
        attn_inject.export(saved[0], tmp_path / "f", format="hubb")


def test_a_folder_is_a_model_of_other_commands(folder):
    sites = attn_inject.find_sites(str(folder))
    assert next(site.name for site in sites) == "layer1.0"
    with pytest.raises(FileError, match="modified"):
        attn_inject.find_sites(f"local-dir:{folder}")


SCRIPT = """
import sys, timm, torch
import attn_inject, attn_inject.timm
file, images, out = sys.argv[1:]
print(attn_inject.push(file, "org/name", private=True, message="The first")["url"])
images = torch.load(images)
models = attn_inject.load("hf-hub:org/name"), timm.create_model("hf-hub:org/name", pretrained=True)
with torch.no_grad():
    torch.save([model.eval()(images) for model in models], out)
"""


def test_push_uploads_it_and_both_load_it_from_there(saved, tmp_path):
    torch.save(IMAGES, tmp_path / "images.pt")
    with hub_stand_in() as hub:
        kept = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "right"}
        arguments = [str(saved[0]), str(tmp_path / "images.pt"), str(tmp_path / "out.pt")]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            env={**os.environ, **kept, "HF_HUB_DISABLE_XET": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{hub.address}/org/name/commit/{'0' * 40}\n"
        assert (hub.private, hub.messages) == (["org/name"], ["The first"])
        assert sorted(hub.files) == [f"org/name/{name}" for name in sorted(hub_folder.FILES)]
        assert 'timm.create_model("hf-hub:org/name"' in hub.files["org/name/README.md"].decode()
    assert all(torch.equal(output, saved[1]) for output in torch.load(tmp_path / "out.pt"))


@pytest.mark.parametrize("name", ["model", "a/b/c", "hf-hub:a/b", "/b"])
def test_what_names_no_repository_is_refused(name):
    with pytest.raises(UsageError, match="names no repository"):
        attn_inject.push("m.pt", name)


def test_without_a_network_push_says_how_to_go_on(saved, monkeypatch):
    monkeypatch.setattr("attn_inject.models.network.is_reachable", lambda _: False)
    with pytest.raises(FileError, match="cannot be reached") as caught:
        attn_inject.push(saved[0], "org/name")
    assert "--format hub" in caught.value.hint
