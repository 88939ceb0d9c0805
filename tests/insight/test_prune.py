"""What is pruned is measured, bounded, and leaves a file like any other."""

from __future__ import annotations

import copy

import pytest
import torch

import attn_inject
from attn_inject.errors import CheckFailedError, FileError, FitError, NoSiteError, UsageError
from attn_inject.insight import pruning
from attn_inject.surgery.bypass import bypassed
from attn_inject.surgery.inserted import inserted_modules
from attn_inject.surgery.removal import take_out
from tests.nets import build, make_generic, modify, set_alphas

SIZE = 64
ALPHAS = {"layer1.0": 0.6, "layer2.0": 0.0, "layer3.0": 1e-4, "layer4.0": 0.9}


def trained(attention: str = "se") -> torch.nn.Module:
    """A modified model of which one site does nothing and one next to nothing."""
    base = make_generic(build("test_resnet", num_classes=10))
    model = attn_inject.inject(base, attention, start="identity", check="off", input_size=SIZE).model
    for site, module in attn_inject.inserted(model).items():
        torch.nn.init.constant_(module.alpha, ALPHAS[site])
    return model


def x() -> torch.Tensor:
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
@pytest.mark.parametrize("attention", ["se", "ela-l", "cbam"])
def test_the_idle_sites_go_and_the_rest_computes_the_same(photos, attention):
    model = trained(attention)
    before = copy.deepcopy(model.state_dict())
    pruned = attn_inject.prune(model, photos, max_change=1e-4, size=SIZE)
    assert [step.site for step in pruned.report.steps] == ["layer2.0", "layer3.0"]
    assert pruned.report.kept == ("layer1.0", "layer4.0")
    assert pruned.report.next.divergence > 1e-4
    with bypassed(model, ["layer2.0.attn_inject", "layer3.0.attn_inject"]):
        assert torch.equal(model(x()), pruned.model(x()))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    gone = ("layer2.0.attn_inject.", "layer3.0.attn_inject.")
    kept = {key: value for key, value in before.items() if not key.startswith(gone)}
    assert pruned.model.state_dict().keys() == kept.keys()
    saved = pruned.report.before.params - pruned.report.after.params
    assert saved == sum(value.numel() for key, value in model.named_parameters() if key not in kept)


def test_all_are_measured_again_after_each(photos):
    model = trained()
    report = attn_inject.prune(model, photos, max_change=10, size=SIZE).report
    assert [step.site for step in report.steps][:2] == ["layer2.0", "layer3.0"]
    assert report.next is None
    seen = attn_inject.look(model, photos, size=SIZE)
    # Without all of them it is the base.
    assert report.steps[-1].divergence != pytest.approx(seen.sites[-1].divergence)
    assert report.steps[-1].agreement == seen.agreement


def test_below_a_share_of_the_map(photos):
    report = attn_inject.prune(trained(), photos, below=0.01, size=SIZE).report
    assert [(step.site, step.contribution < 0.01) for step in report.steps] == [
        ("layer2.0", True),
        ("layer3.0", True),
    ]
    assert report.next.contribution >= 0.01


@torch.no_grad()
def test_the_file_loads_and_restores_like_any_other(tmp_path):
    request = attn_inject.ModelRequest(name="test_resnet", num_classes=10)
    result = attn_inject.inject(request, "cbam", start="identity", check="off")
    set_alphas(result.model, 0.5)
    attn_inject.save(result, tmp_path / "whole.pt")
    out = tmp_path / "pruned.safetensors"
    pruned = attn_inject.prune(str(tmp_path / "whole.pt"), sites="layer[12].*", out=out)
    assert pruned.report.images == 0
    again = attn_inject.load(out)
    assert list(inserted_modules(again)) == ["layer3.0.attn_inject", "layer4.0.attn_inject"]
    assert torch.equal(again(x()), pruned.model(x()))
    restored = attn_inject.remove(attn_inject.load(out)).state_dict()
    base = attn_inject.remove(attn_inject.load(tmp_path / "whole.pt")).state_dict()
    assert restored.keys() == base.keys()
    assert all(torch.equal(restored[key], value) for key, value in base.items())
    with pytest.raises(FileError, match="exists"):
        attn_inject.prune(str(tmp_path / "whole.pt"), sites="layer1.*", out=out)


@torch.no_grad()
@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_block_of_three_modules_keeps_the_others(gone):
    model = make_generic(build("test_resnet"))
    for attention in ("se", "eca", "cbam"):
        modify(model, attention, where=["layer1.*"], start="paper")
    names = list(inserted_modules(model))
    other = copy.deepcopy(model)
    take_out(other, [names[gone]])
    with bypassed(model, [names[gone]]):
        assert torch.equal(other(x()), model(x()))
    assert [*inserted_modules(other)] == [name for name in names if name != names[gone]]


def test_what_cannot_go_is_an_error(photos, tmp_path):
    model = trained()
    for arguments, message in [
        ({}, "which sites may go"),
        ({"below": 0.1, "max_change": 0.1, "images": photos}, "both given"),
        ({"max_change": 0.1}, "none are given"),
        ({"max_change": -1, "images": photos}, "number from 0"),
    ]:
        with pytest.raises(UsageError, match=message):
            attn_inject.prune(model, **arguments)
    with pytest.raises(NoSiteError, match="matches no modified site"):
        attn_inject.prune(model, sites="stem")
    with pytest.raises(NoSiteError, match=r"The least, layer1\.0, changes the output by"):
        attn_inject.prune(model, photos, sites=["layer1.*", "layer4.*"], max_change=1e-9, size=SIZE)
    with pytest.raises(FitError, match="no attention would stay"):
        attn_inject.prune(model, sites="*", out=tmp_path / "none.pt")
    replaced = make_generic(build("test_resnet"))
    modify(replaced, "sk", placement="replace-conv", start="paper")
    with pytest.raises(FitError, match="replaces a layer"):
        attn_inject.prune(replaced, sites="*")
    assert list(tmp_path.iterdir()) == []


def test_a_pruned_model_that_computes_something_else_is_not_saved(monkeypatch, tmp_path):
    def careless(model, names):
        take_out(model, names)
        set_alphas(model, 0.25)

    monkeypatch.setattr("attn_inject.operate.prune.take_out", careless)
    with pytest.raises(CheckFailedError):
        attn_inject.prune(trained(), sites="layer1.*", out=tmp_path / "wrong.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_greedy_choice_takes_the_least_of_what_is_left():
    class Fake(pruning.Measure):
        def without(self, sites):
            moved = changes[frozenset(sites)]
            return pruning.Step(site=sites[-1], module="", contribution=None, agreement=1.0, divergence=moved)

    changes = {frozenset("a"): 0.3, frozenset("b"): 0.1, frozenset("c"): 0.2}
    # b and c do the same work: alone each may go, but not both.
    changes |= {frozenset("ab"): 0.4, frozenset("bc"): 9.0}
    measure = Fake(None, (), None, {"a": "", "b": "", "c": ""}, lambda step: None)
    steps, stopped = pruning.by_change(measure, 0.35)
    assert ([step.site for step in steps], stopped.site) == (["b"], "a")
