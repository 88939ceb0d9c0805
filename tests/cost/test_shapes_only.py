"""A count on shapes alone against the same count with every kernel run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attn_inject.attention import registry
from attn_inject.attention.factory import create_attention
from attn_inject.cost import count as counting
from attn_inject.cost.count import _count_run, count, count_call
from attn_inject.cost.shapes_only import ValuesNeededError
from attn_inject.models.inputs import InputSpec
from tests.nets import build, size_of


class InPlace(nn.Module):
    """Writes into its input, a view, and a constant."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        x.add_(1).mul_(2)
        canvas = torch.zeros(1, 3, 8, 8)
        canvas[:, :, 2:6, 2:6] = self.conv(x)[:, :, :4, :4]
        return canvas.transpose(1, 2).reshape(1, -1).sum() + canvas


class Choosy(nn.Module):
    """Asks for a value."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        y = self.conv(x)
        return self.conv(y) if y.abs().mean() >= 0 else y


class Picky(nn.Module):
    """Takes as many elements as are positive."""

    def forward(self, x):
        return x[x > x.mean()].sum()


def both(model, inputs):
    made = inputs.make(seed=1)
    return _count_run(model, made, real=False), _count_run(model, made, real=True)


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet", "mobilevit_xxs"]
)
def test_models(name):
    model = build(name, meta=True)
    on_shapes, real = both(model, InputSpec(size_of(model)))
    assert on_shapes == real
    assert on_shapes.cost.flops > 0 < on_shapes.cost.gate_bytes


@pytest.mark.parametrize("name", [name for name in registry.entries() if name != "sasa"])
def test_modules(name):
    with torch.device("meta"):
        module = create_attention(name, channels=64, size=(7, 7))
    on_shapes, real = both(module, InputSpec((64, 7, 7)))
    assert on_shapes == real


def test_in_place_writes():
    on_shapes, real = both(InPlace(), InputSpec((3, 8, 8)))
    assert on_shapes == real


@pytest.mark.parametrize("model", [Choosy(), Picky()], ids=lambda model: type(model).__name__)
def test_a_model_that_asks_for_values_is_run(model):
    inputs = InputSpec((3, 8, 8))
    with pytest.raises(ValuesNeededError):
        _count_run(model, inputs.make(), real=False)
    assert count(model, inputs) == _count_run(model, inputs.make(), real=True)


def test_no_kernel_runs():
    """The weight alone would be 160 GB."""
    wide = nn.Linear(200_000, 200_000, device="meta")
    assert count_call(wide, (10, 200_000)).cost.flops == 10 * 200_000**2
    assert not torch.jit.is_tracing()


def test_afterwards_everything_is_as_before():
    before = torch.autograd.Function.__dict__["apply"], torch.is_grad_enabled()
    count_call(nn.Conv2d(3, 4, 1), (1, 3, 8, 8))
    assert (torch.autograd.Function.__dict__["apply"], torch.is_grad_enabled()) == before
    with pytest.raises(counting.ModelError):
        count_call(nn.Conv2d(3, 4, 1), (1, 5, 8, 8))
    assert (torch.autograd.Function.__dict__["apply"], torch.is_grad_enabled()) == before
    assert nn.Conv2d(3, 4, 1)(torch.randn(1, 3, 8, 8)).requires_grad
