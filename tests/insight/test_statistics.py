"""The statistics of training equal what one computes by hand, and the model does not notice."""

import copy

import pytest
import torch

import attn_inject
from attn_inject.errors import NoSiteError, UsageError
from attn_inject.surgery.bypass import bypassed
from tests.nets import build, make_generic, modify, set_alphas

NAMES = ["se", "cbam", "ela-l", "nl"]


def model_with(attention: str, **plan) -> torch.nn.Module:
    model = make_generic(build("test_resnet", num_classes=10))
    modify(model, attention, **plan)
    set_alphas(model, 0.5)
    return model


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def test_figures_equal_those_computed_by_hand():
    model = model_with("se")
    block = model.layer1[0]
    inputs = []
    block.attn_inject.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    with attn_inject.attention_statistics(model) as statistics:
        for part in images().split(2):
            model(part)
    x = torch.cat(inputs)
    gate = block.attn_inject.attention.gate(x)
    change = (0.5 * (x * gate - x)).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
    expected = {
        "mean": gate.mean(),
        "std": gate.std(correction=0),
        "near_0": (gate < 0.05).float().mean(),
        "near_1": (gate >= 0.95).float().mean(),
    }
    found = statistics.scalars()
    for name, value in expected.items():
        assert found[f"layer1.0/channels/{name}"] == pytest.approx(float(value), abs=1e-6)
    assert found["layer1.0/contribution"] == pytest.approx(float(change.mean()), rel=1e-5)
    assert found["layer1.0/alpha"] == 0.5
    counts, edges = statistics.histograms()["layer1.0/channels"]
    assert counts == torch.histc(gate, 20, 0, 1).tolist()
    assert sum(counts) == gate.numel()
    assert edges[:2] == [0, 0.05]


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_is_the_same_with_statistics(name):
    model = model_with(name).train()
    twin = copy.deepcopy(model)
    loss = model(images()).square().mean()
    loss.backward()
    with attn_inject.attention_statistics(twin):
        twin(images()).square().mean().backward()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        assert ours.grad is None or torch.equal(ours.grad, theirs.grad)
    for ours, theirs in zip(model.buffers(), twin.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    assert not any(module._forward_hooks for module in twin.modules())


@torch.no_grad()
def test_what_is_bypassed_or_replaces_a_layer_has_no_contribution():
    model = model_with("se")
    with bypassed(model, ["layer1.0.attn_inject"]), attn_inject.attention_statistics(model) as statistics:
        model(images())
    assert "layer1.0/contribution" not in statistics.scalars()
    assert "layer2.0/contribution" in statistics.scalars()
    replaced = build("test_resnet")
    modify(replaced, "sk", placement="replace-conv", start="paper")
    with attn_inject.attention_statistics(replaced) as statistics:
        replaced(images())
    assert {name.rpartition("/")[2] for name in statistics.scalars()} == {"mean", "std", "near_0", "near_1"}


@torch.no_grad()
def test_only_every_second_call_is_counted_and_a_reset_forgets():
    model = model_with("se")
    with attn_inject.attention_statistics(model, every=2) as statistics:
        model(images(2))
        first = statistics.scalars()
        model(-images(2))
        assert statistics.scalars() == first
        statistics.reset()
        assert [name for name in statistics.scalars() if not name.endswith("alpha")] == []


def test_nothing_to_watch_is_an_error():
    with pytest.raises(NoSiteError), attn_inject.attention_statistics(build("test_resnet")):
        pass
    with pytest.raises(UsageError), attn_inject.attention_statistics(model_with("se"), every=0):
        pass
