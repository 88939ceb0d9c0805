"""The helpers for training what was added."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import attn_inject
from attn_inject.errors import NoSiteError
from attn_inject.surgery.inserted import inserted_modules
from tests.nets import build, make_generic, modify

IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def modified(attention="nam-channel"):
    model = make_generic(build("test_resnet", num_classes=2))
    modify(model, attention, size=(3, 64, 64))
    return model


def train(model, parameters, steps=3):
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    model.train()
    for _ in range(steps):
        loss = model(IMAGES).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def changed(model, before):
    return {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}


def test_a_frozen_base_comes_out_of_training_as_it_went_in():
    model = modified()
    base = attn_inject.remove(copy.deepcopy(model)).state_dict()
    before = copy.deepcopy(model.state_dict())
    attn_inject.freeze_base(model)
    train(model, attn_inject.attention_parameters(model))
    learned = changed(model, before)
    assert all(".attn_inject." in key for key in learned)
    assert {key for key in learned if key.endswith(("alpha", "bn.weight", "bn.running_mean"))} == {
        key
        for key in before
        if ".attn_inject." in key and key.endswith(("alpha", "bn.weight", "bn.running_mean"))
    }
    restored = attn_inject.remove(model).state_dict()
    assert all(torch.equal(restored[key], base[key]) for key in base)


def test_statistics_may_go_on():
    model = modified()
    before = copy.deepcopy(model.state_dict())
    attn_inject.freeze_base(model, statistics=False)
    train(model, attn_inject.attention_parameters(model), steps=1)
    assert {key.rpartition(".")[2] for key in changed(model, before) if ".attn_inject." not in key} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_a_thawed_base_learns_as_before():
    model = modified()
    model.conv1[0].weight.requires_grad_(False)
    learning = {key for key, p in model.named_parameters() if p.requires_grad}
    frozen = attn_inject.freeze_base(model)
    assert {key for key, p in model.named_parameters() if p.requires_grad} < learning
    frozen.remove()
    assert {key for key, p in model.named_parameters() if p.requires_grad} == learning
    before = copy.deepcopy(model.state_dict())
    train(model, (p for p in model.parameters() if p.requires_grad), steps=1)
    assert "bn1.running_mean" in changed(model, before)
    assert "conv1.0.weight" not in changed(model, before)


def test_a_frozen_model_can_be_copied_and_pickled(tmp_path):
    model = modified()
    attn_inject.freeze_base(model)
    torch.save(model, tmp_path / "whole.pt")
    for again in (copy.deepcopy(model), torch.load(tmp_path / "whole.pt", weights_only=False)):
        before = copy.deepcopy(again.state_dict())
        train(again, attn_inject.attention_parameters(again), steps=1)
        assert all(".attn_inject." in key for key in changed(again, before))


def test_attention_parameters_are_those_that_learn():
    model = modified("gc")
    inside = {
        f"{name}.{key}" for name, m in inserted_modules(model).items() for key, _ in m.named_parameters()
    }
    named = {id(p): key for key, p in model.named_parameters()}
    found = {named[id(p)] for p in attn_inject.attention_parameters(model)}
    assert inside - found == {key for key in inside if key.endswith("mask.bias")} != set()
    assert found <= inside


def test_parameter_groups_hold_every_learning_parameter_once():
    model = modified("se")
    attn_inject.freeze_base(model).remove()
    decayed, spared = attn_inject.parameter_groups(model, weight_decay=0.05)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    ids = [id(p) for group in (decayed, spared) for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    assert {id(m.alpha) for m in inserted_modules(model).values()} <= {id(p) for p in spared["params"]}
    assert id(model.fc.weight) in {id(p) for p in decayed["params"]}
    attn_inject.freeze_base(model)
    groups = attn_inject.parameter_groups(model, weight_decay=0.05)
    own = [id(p) for p in attn_inject.attention_parameters(model)]
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(own)
    torch.optim.AdamW(groups)


@pytest.mark.parametrize("helper", [attn_inject.freeze_base, attn_inject.attention_parameters])
def test_an_untouched_model_is_refused(helper):
    with pytest.raises(NoSiteError, match="This Linear holds no attention module"):
        helper(nn.Linear(1, 1))
