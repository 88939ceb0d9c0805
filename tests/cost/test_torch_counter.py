"""torch's own counter, on meta, as an independent count of convolutions and matrix products."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from attn_inject.attention import registry
from attn_inject.attention.factory import create_attention
from attn_inject.cost.count import _count_run, _rules, count_call
from attn_inject.models.inputs import InputSpec
from tests.nets import build, modify, size_of

# What fvcore counts besides products, which torch's counter leaves out.
OTHERS = ("batch_norm", "group_norm", "layer_norm", "adaptive_avg_pool2d")
SHAPE = (1, 64, 14, 14)


def products(monkeypatch, work):
    """The flops of a count whose other rules count nothing."""
    known = _rules()
    quiet = {kind: rule for kind, rule in known.items() if kind.removeprefix("aten::") not in OTHERS}
    monkeypatch.setattr("attn_inject.cost.count._rules", lambda: quiet)
    return work().cost.flops


def torch_says(model, *inputs):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*inputs)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", [name for name in registry.entries() if name != "sasa"])
def test_products_of_each_module(monkeypatch, name):
    with torch.device("meta"):
        module = create_attention(name, channels=64, size=(14, 14)).eval()
    ours = products(monkeypatch, lambda: count_call(module, SHAPE))
    assert ours == torch_says(module, torch.empty(SHAPE, device="meta"))


@pytest.mark.parametrize(
    ("name", "attention"),
    [
        ("resnet50", "ca"),
        ("mobilenetv2_100", "cbam"),
        ("convnext_tiny", "se"),
        ("vit_tiny_patch16_224", "ela-l"),
        ("swin_tiny_patch4_window7_224", "a2"),
        ("regnety_016", "nl"),
    ],
)
def test_products_of_modified_models(monkeypatch, name, attention):
    model = build(name, meta=True)
    modify(model, attention, start="paper")
    inputs = InputSpec(size_of(model))
    ours = products(monkeypatch, lambda: _count_run(model, inputs.make(), real=False))
    assert ours == torch_says(model, *inputs.make(device="meta")[0])
