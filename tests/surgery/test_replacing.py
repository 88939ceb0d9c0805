"""Attention instead of convolutions, of the stem and of a model's own attention."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import attn_inject
from attn_inject.cost.count import count
from attn_inject.errors import FitError, NoSiteError, UsageError
from attn_inject.models.inputs import InputSpec
from attn_inject.surgery.removal import remove
from tests.nets import build, make_generic, modify, size_of

SASA = {"attention": "sasa", "placement": "replace-conv", "start": "paper"}
ATTENTIVE = {
    "mobilenetv3_small_050": ("blocks.0.0.se", 9),
    "regnety_002": ("s1.b1.se", 13),
    "eca_resnet33ts": ("stages.0.0.attn", 10),
    "hgnetv2_b0": ("", 0),
    "torchvision/mobilenet_v3_small": ("features.1.block.1", 9),
    "torchvision/regnet_y_400mf": ("trunk_output.block1.block1-0.f.se", 16),
}


def image_for(model: nn.Module, side: int = 64) -> torch.Tensor:
    return torch.randn(2, size_of(model)[0], side, side, generator=torch.Generator().manual_seed(1))


def test_each_spatial_convolution_of_a_bottleneck_is_replaced():
    model = make_generic(build("resnet26"))
    names = [edit.name for edit in modify(model, **SASA, size=(3, 64, 64))]
    assert names == [f"layer{stage}.{block}.conv2" for stage in (1, 2, 3, 4) for block in (0, 1)]
    for name in names:
        conv = model.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        assert conv.weight is None
        assert not any(key.startswith(f"{name}.weight") for key in model.state_dict())


def test_a_stride_becomes_an_average_pool_behind_the_attention():
    model = make_generic(build("resnet26"))
    modify(model, **SASA, size=(3, 64, 64))
    conv = model.layer2[0].conv2
    assert conv.attn_inject.stride == 2
    for side in (16, 15):
        x = torch.randn(1, 128, side, side)
        expected = F.avg_pool2d(conv.attn_inject.attention(x), 2, 2, ceil_mode=True)
        assert torch.equal(conv(x), expected)
        assert conv(x).shape[2:] == nn.Conv2d(128, 128, 3, stride=2, padding=1)(x).shape[2:]


def test_removal_puts_back_what_was_replaced():
    model = make_generic(build("resnet26"))
    x, before = image_for(model), copy.deepcopy(model.state_dict())
    output, classes = model(x), [type(module) for module in model.modules()]
    modify(model, **SASA, size=(3, 64, 64))
    assert not torch.equal(model(x), output)
    remove(model)
    assert list(model.state_dict()) == list(before)
    assert [type(module) for module in model.modules()] == classes
    assert torch.equal(model(x), output)


def test_a_convolution_that_changes_the_number_of_channels_is_left():
    model = build("resnet18", meta=True)
    names = [edit.name for edit in modify(model, **SASA, size=(3, 64, 64))]
    assert "layer2.0.conv2" in names
    assert "layer2.0.conv1" not in names
    report = attn_inject.inject("resnet18", "sasa", placement="replace-conv", dry_run=True).report
    reasons = {item.name: item.reason for item in report.rejected}
    assert reasons["layer2.0.conv1"] == "it maps 64 channels to 128, attention keeps their number"
    with pytest.raises(FitError, match=r"layer2\.0\.conv1 cannot take sasa"):
        attn_inject.inject("resnet18", "sasa", placement="replace-conv", dry_run=True, strict=True)


@pytest.mark.parametrize("name", [name for name, (_, count) in ATTENTIVE.items() if count])
def test_a_models_own_attention_is_replaced_and_comes_back(name):
    model = make_generic(build(name))
    first, count = ATTENTIVE[name]
    x, output, keys = image_for(model), model(image_for(model)), list(model.state_dict())
    edits = modify(model, "ela-b", placement="replace-attention", start="paper", size=(3, 64, 64))
    assert (edits[0].name, len(edits)) == (first, count)
    gone = {f"{edit.name}.{key}" for edit in edits for key in edit.removed}
    added = {key for key in model.state_dict() if ".attn_inject." in key}
    assert gone
    assert set(model.state_dict()) == set(keys) - gone | added
    assert model(x).shape == output.shape
    assert not torch.equal(model(x), output)
    remove(model)
    assert list(model.state_dict()) == keys
    assert torch.equal(model(x), output)


def test_a_model_without_attention_has_none_to_replace():
    with pytest.raises(NoSiteError, match="no channel or spatial attention"):
        attn_inject.inject("resnet18", "se", placement="replace-attention", dry_run=True)


def test_modules_named_by_hand_may_be_replaced_if_they_keep_the_shape():
    model = build("resnet18")
    edits = modify(
        model, "se", placement="replace-attention", at=("layer1.0.conv2",), start="paper", size=(3, 64, 64)
    )
    assert [edit.name for edit in edits] == ["layer1.0.conv2"]
    with pytest.raises(FitError, match="attention keeps the shape"):
        modify(model, "se", placement="replace-attention", at=("layer2.0.conv1",), size=(3, 64, 64))


def test_replacing_never_starts_as_the_identity():
    with pytest.raises(FitError, match="cannot start as the identity") as caught:
        attn_inject.inject("resnet18", "sasa", placement="replace-conv", start="identity", dry_run=True)
    assert caught.value.exit_code == 7
    report = attn_inject.inject(build("resnet18"), "sasa", placement="replace-conv", dry_run=True).report
    assert report.start == "paper"


@pytest.mark.parametrize("placement", ["replace-conv", "paper"])
def test_inner_placements_and_modules_named_by_hand_disagree(placement):
    with pytest.raises(UsageError, match="--at"):
        attn_inject.inject("resnet18", "sasa", placement=placement, at="layer1.*", dry_run=True)


def test_a_modified_convolution_is_copied_pickled_and_trained():
    model = make_generic(build("resnet10t"))
    modify(model, **SASA, size=(3, 64, 64))
    x = image_for(model)
    assert torch.equal(copy.deepcopy(model)(x), model(x))
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))
    model.train()(x).sum().backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if ".attn_inject." in name)


def test_a_file_gives_the_same_output_and_cannot_be_restored_alone(tmp_path):
    result = attn_inject.inject("resnet10t", "sasa", placement="replace-conv", input_size=(3, 64, 64))
    assert {check.name: check.passed for check in result.report.checks}["keys"]
    assert result.report.result.params == sum(p.numel() for p in result.model.parameters())
    attn_inject.save(result, tmp_path / "model.pt")
    again = attn_inject.load(tmp_path / "model.pt")
    x = image_for(again)
    assert torch.equal(again(x), result.model.eval()(x))
    with pytest.raises(FitError, match="were not kept"):
        remove(again)
    assert torch.equal(again(x), result.model(x))


def test_the_cost_is_that_of_the_modified_model():
    for name, plan in {
        "mobilenetv3_small_050": {"attention": "eca", "placement": "replace-attention"},
        "resnet18": {"attention": "sasa", "placement": "replace-conv", "stem": True, "where": "layer4.*"},
    }.items():
        result = attn_inject.inject(name, **plan, check="off", input_size=(3, 64, 64))
        counted = count(result.model, InputSpec((3, 64, 64)))
        assert counted.cost.by_fvcore == result.report.result.by_fvcore
        assert counted.uncounted == dict(result.report.uncounted)
