"""Saving any modified model, and modifying it again."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn

import attn_inject
from attn_inject.errors import CheckFailedError, FileError, FitError, UnknownNameError, UsageError
from attn_inject.files.verified_origin import OriginWarning
from attn_inject.surgery.inserted import inserted_modules
from tests.nets import build, make_generic

TINY = (3, 64, 64)
IMAGE = torch.randn(2, *TINY, generator=torch.Generator().manual_seed(1))


def output(model):
    with torch.no_grad():
        return model.eval()(IMAGE)


def train(model):
    """One step on random images."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(IMAGE).square().mean().backward()
    optimizer.step()
    return model.eval()


@pytest.fixture
def modified():
    result = attn_inject.inject("test_resnet", "ela-l", input_size=TINY, check="off")
    return make_generic(result.model)


WRAPPERS = {
    "itself": lambda model: model,
    "trained": train,
    "a copy": copy.deepcopy,
    "a pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "in DataParallel": nn.DataParallel,
    "compiled": torch.compile,
    "with SyncBatchNorm": nn.SyncBatchNorm.convert_sync_batchnorm,
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_model_in_hand_is_saved_as_what_it_is(tmp_path, modified, wrap, suffix):
    path = tmp_path / f"model{suffix}"
    model = wrap(modified)
    attn_inject.save(model, path)
    assert attn_inject.describe(path)["source"] == "timm"
    assert torch.equal(output(attn_inject.load(path)), output(modified))


def test_a_loaded_model_is_trained_and_saved_again(tmp_path, modified):
    first, second = tmp_path / "one.pt", tmp_path / "two.safetensors"
    attn_inject.save(modified, first)
    model = train(attn_inject.load(first))
    attn_inject.save(model, second)
    assert torch.equal(output(attn_inject.load(second)), output(model))
    assert not torch.equal(output(model), output(attn_inject.load(first)))
    one, two = attn_inject.describe(first), attn_inject.describe(second)
    assert (one["plans"], one["sites"], one["model"]) == (two["plans"], two["sites"], two["model"])


def test_another_number_of_classes_is_noted(tmp_path, modified):
    modified.reset_classifier(7)
    attn_inject.save(modified, tmp_path / "model.pt")
    loaded = attn_inject.load(tmp_path / "model.pt")
    assert attn_inject.describe(tmp_path / "model.pt")["arguments"] == {"num_classes": 7}
    assert torch.equal(output(loaded), output(modified))
    assert output(loaded).shape == (2, 7)


def test_a_model_changed_by_hand_says_that_it_needs_a_base(tmp_path, modified):
    base = attn_inject.remove(copy.deepcopy(modified))
    for model in (base, modified):
        model.layer4[0].conv1 = nn.Conv2d(*channels(model.layer4[0].conv1), 3, padding=1, stride=2)
    with pytest.warns(OriginWarning, match=r"layer4\.0\.conv1 was Conv2d.* and is now Conv2d.*base="):
        attn_inject.save(modified, tmp_path / "model.pt")
    with pytest.raises(FileError, match="passed as an object"):
        attn_inject.load(tmp_path / "model.pt")
    assert torch.equal(output(attn_inject.load(tmp_path / "model.pt", base=base)), output(modified))


def channels(conv):
    return conv.in_channels, conv.out_channels


class Wrapper(nn.Module):
    """A model that contains a modified one."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(1000, 3)

    def forward(self, x):
        return self.head(self.backbone(x))


def test_a_part_of_something_larger_is_saved_under_its_new_names(tmp_path, modified):
    base = Wrapper(attn_inject.remove(copy.deepcopy(modified)))
    whole = Wrapper(modified)
    attn_inject.save(whole, tmp_path / "model.pt")
    told = attn_inject.describe(tmp_path / "model.pt")
    assert told["source"] == "object"
    assert told["sites"][0]["name"] == "backbone.layer1.0"
    assert torch.equal(output(attn_inject.load(tmp_path / "model.pt", base=base)), output(whole))
    again = attn_inject.inject(whole, "eca", stage=1, input_size=TINY, check="off").model
    attn_inject.save(again, tmp_path / "again.pt")
    assert torch.equal(output(attn_inject.load(tmp_path / "again.pt", base=base)), output(again))


def test_what_was_not_modified_is_no_file_of_ours(tmp_path):
    with pytest.raises(FitError, match="no inserted attention modules"):
        attn_inject.save(build("test_resnet"), tmp_path / "model.pt")
    with pytest.raises(UnknownNameError, match="atention"):
        attn_inject.save(build("test_resnet"), tmp_path / "model.pt", only="atention")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_formats_that_keep_no_recipe_are_not_saved(tmp_path, modified, suffix):
    with pytest.raises(UsageError, match="cannot hold the edits") as caught:
        attn_inject.save(modified, tmp_path / f"model{suffix}")
    assert "attn-inject export" in caught.value.hint


@pytest.mark.parametrize("by", ["file", "model"])
def test_operations_follow_one_another(tmp_path, modified, by):
    first, second = tmp_path / "one.pt", tmp_path / "two.pt"
    attn_inject.save(modified, first)
    twice = attn_inject.inject(
        str(first) if by == "file" else modified, "sa", where="layer[14].*", start="paper", out=second
    )
    assert twice.report.source == "timm"
    told = attn_inject.describe(second)
    assert [plan["attention"][0]["name"] for plan in told["plans"]] == ["ela-l", "sa"]
    assert [plan["start"] for plan in told["plans"]] == ["paper", "paper"]
    assert [(site["module"], site["operation"]) for site in told["sites"]] == [
        *((f"layer{n}.0.attn_inject", 0) for n in range(1, 5)),
        ("layer1.0.attn_inject_1", 1),
        ("layer4.0.attn_inject_1", 1),
    ]
    loaded = attn_inject.load(second)
    assert torch.equal(output(loaded), output(twice.model))
    assert set(inserted_modules(loaded)) == set(inserted_modules(twice.model))
    base = attn_inject.remove(loaded)
    assert not inserted_modules(base)
    assert type(base.layer1[0]).__name__ == "BasicBlock"
    assert torch.equal(output(base), output(attn_inject.remove(modified)))


def test_a_failed_second_operation_leaves_the_first(modified, monkeypatch):
    before = output(modified)
    monkeypatch.setattr("attn_inject.operate.edits.prove_all", lambda *args, **kwargs: ())

    def fail(checks):
        raise CheckFailedError("no")

    monkeypatch.setattr("attn_inject.operate.edits.require", fail)
    with pytest.raises(CheckFailedError):
        attn_inject.inject(modified, "sa", inplace=True)
    monkeypatch.undo()
    assert torch.equal(output(modified), before)
    again = attn_inject.inject(modified, "eca", check="off")
    assert [plan["attention"][0]["name"] for plan in plans(again.model)] == ["ela-l", "eca"]


def plans(model):
    return next(iter(inserted_modules(model).values())).origin.plans


@pytest.fixture
def trained(modified):
    """A base and the modified model, of which only attention and batch norms' counts were changed."""
    base = attn_inject.remove(copy.deepcopy(modified))
    for name, parameter in modified.named_parameters():
        parameter.requires_grad = ".attn_inject." in name
    return base, train(modified)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_attention_alone_gives_what_the_whole_file_gives(tmp_path, trained, suffix):
    base, model = trained
    whole, part = tmp_path / f"whole{suffix}", tmp_path / f"part{suffix}"
    attn_inject.save(model, whole)
    attn_inject.save(model, part, only="attention")
    assert part.stat().st_size < whole.stat().st_size / 2
    before = {name: value.clone() for name, value in base.state_dict().items()}
    loaded = attn_inject.load(part, base=base)
    assert torch.equal(output(loaded), output(attn_inject.load(whole)))
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    assert not inserted_modules(base)
    told = attn_inject.describe(part)
    assert told["only"] == "attention"
    assert {key.rpartition(".")[2] for key in kept(part) if ".attn_inject." not in key} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def kept(path):
    from attn_inject.files import formats

    return formats.read(path).state_dict


def test_attention_alone_needs_the_base_that_it_was_made_from(tmp_path, trained):
    base, model = trained
    part = tmp_path / "part.pt"
    attn_inject.save(model, part, only="attention")
    with pytest.raises(FileError, match="holds attention modules only") as caught:
        attn_inject.load(part)
    assert f"--apply {part}" in caught.value.hint
    with pytest.raises(FileError, match="another architecture"):
        attn_inject.load(part, base=build("test_resnet", num_classes=3))
    with pytest.raises(FileError, match=r"layer1|resnet|architecture"):
        attn_inject.load(part, base=build("test_vit"))
    with torch.no_grad():
        base.conv1[0].weight.add_(1)
    with pytest.raises(FileError, match=r"not the one that .* was saved with"):
        attn_inject.load(part, base=base)
    other = attn_inject.load(part, base=base, verify=False)
    assert torch.equal(other.conv1[0].weight, base.conv1[0].weight)


@pytest.mark.parametrize("only", ["all", "attention"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_injecting_saves_what_is_asked_and_checks_it(tmp_path, suffix, only):
    path = tmp_path / f"a{suffix}"
    result = attn_inject.inject("test_resnet", "se", input_size=TINY, out=path, only=only)
    assert {check.name for check in result.report.checks} >= {"file"}
    assert attn_inject.describe(path)["only"] == only


def test_no_warning_for_a_model_as_it_was_built(tmp_path, modified):
    with warnings.catch_warnings():
        warnings.simplefilter("error", OriginWarning)
        assert attn_inject.save(modified, tmp_path / "model.pt").is_file()


def test_a_reopened_file_that_differs_is_not_saved(tmp_path, monkeypatch):
    from attn_inject.errors import CheckFailedError
    from attn_inject.operate import saving

    load = saving.loading.load

    def another(*args, **kwargs):
        model = load(*args, **kwargs)
        with torch.no_grad():
            next(model.parameters()).add_(1)
        return model

    monkeypatch.setattr(saving.loading, "load", another)
    path = tmp_path / "model.pt"
    with pytest.raises(CheckFailedError, match="file: differs"):
        attn_inject.inject("test_resnet", "se", out=path)
    assert not list(tmp_path.iterdir())
