"""Blocks with a behaviour of their own at each placement: the same as before in all that shows, or refused.

A modified model is compared with its base while what was inserted is bypassed: outputs, gradients of the
input and of the parameters, buffers, attributes, and where each random generator stands afterwards.
"""

from __future__ import annotations

import enum
import inspect
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from attn_inject import inject, inserted
from attn_inject.errors import AttnInjectError, CheckFailedError, FitError
from attn_inject.models.clone import deep_copy
from attn_inject.models.randomness import seeded
from attn_inject.surgery.bypass import bypassed

PLACEMENTS = ("after", "before-add", "before-block", "on-shortcut", "after-conv")
IMAGE = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
AFTER = "only --placement after works here"


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)

    def branch(self, x):
        return self.bn(self.mix(x))

    def forward(self, x):
        return x + self.branch(x)


class Tower(nn.Module):
    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 1)
        self.parts = nn.Sequential(block(), block())

    def forward(self, x):
        return self.parts(self.first(x)).mean((2, 3))


class GuidesWithoutGradients(Residual):
    def forward(self, x):
        with torch.no_grad():
            weights = self.mix(x)
        return self.bn(weights) + x


class _Step(torch.autograd.Function):
    """A threshold that passes gradients through."""

    @staticmethod
    def forward(ctx, x):
        return torch.where(x > 0, 1.0, 0.0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Thresholds(Residual):
    def forward(self, x):
        return x + _Step.apply(x) * self.branch(x)


class DropsItself(Residual):
    def forward(self, x):
        if self.training and float(torch.rand(())) > 0.5:
            return x
        return super().forward(x)


class DropsItselfByPython(Residual):
    def forward(self, x):
        return x if self.training and random.random() > 0.5 else super().forward(x)


class LeavesALoss(Residual):
    def forward(self, x):
        y = self.branch(x)
        self.penalty = y.square().mean()
        return x + y


class KnowsItsClass(Residual):
    def forward(self, x):
        return x + self.branch(x) * (1 if type(self) is KnowsItsClass else 3)


class Kind(enum.Enum):
    PLAIN = 0


class TakesAnEnum(Residual):
    def forward(self, x, kind=Kind.PLAIN):
        return x + self.branch(x)


class TakesInfinity(Residual):
    def forward(self, x, most=float("inf")):
        return x + self.branch(x).clamp(max=most)


class TakesANumpyNumber(Residual):
    def forward(self, x, times=np.float64(1.0)):  # noqa: B008
        return x + self.branch(x) * float(times)


class TakesOurName(Residual):
    def forward(self, x, base_forward=None):
        return x + self.branch(x)


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4, 4, 1)

    def forward(self, query, key):
        return self.mix(query) * key.mean((2, 3), keepdim=True)


class HandsInAKey(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Mixed(), Mixed()])

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x, key=x)
        return x


class MovesAMean(Residual):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        y = self.branch(x)
        self.mean = torch.lerp(self.mean, y.detach().mean((0, 2, 3)), 0.2)
        return x + y - self.mean.view(4, 1, 1)


class FillsAQueue(Residual):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("queue", torch.zeros(3, 4))

    def forward(self, x):
        y = self.branch(x)
        self.queue.copy_(torch.roll(self.queue, 1, 0))
        self.queue[0].copy_(y.detach().mean((0, 2, 3)))
        return x + y


class FillsAQueueByIndex(FillsAQueue):
    """fx sees the second write, but not the first."""

    def forward(self, x):
        y = self.branch(x)
        self.queue.copy_(self.queue.roll(1, 0))
        self.queue[0] = y.detach().mean((0, 2, 3))
        return x + y


class RunsTwice(Residual):
    def forward(self, x):
        return x + checkpoint(lambda tensor: self.branch(tensor), x, use_reentrant=True)


class AddsInPlace(Residual):
    def forward(self, x):
        x += self.branch(x.clone())
        return x


class Bounded(Residual):
    """Each training forward changes a buffer of the parametrization."""

    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.spectral_norm(self.mix)


# What the message of the inner placements says, None where they work; `after` takes all but one.
BLOCKS: dict[type[nn.Module], str | None] = {
    GuidesWithoutGradients: "switches whether gradients",
    Thresholds: "autograd function _StepBackward",
    DropsItself: "torch's random generator",
    DropsItselfByPython: "Python's random generator",
    LeavesALoss: "writes self.penalty",
    KnowsItsClass: None,
    TakesAnEnum: None,
    TakesInfinity: None,
    TakesANumpyNumber: "reads times, a float64",
    TakesOurName: None,
    HandsInAKey: None,
    MovesAMean: "writes self.mean",
    FillsAQueue: "writes self.queue",
    FillsAQueueByIndex: r"would not compute the same as its own forward \(aten.roll",
    RunsTwice: "CheckpointFunctionBackward",
    AddsInPlace: "writes to its input",
    Bounded: None,
}
# What a placement acts on is not there.
ABSENT = {
    (HandsInAKey, "on-shortcut"): "the block has no shortcut",
    (HandsInAKey, "after-conv"): "the block has no spatial convolution",
}


def observed(model: nn.Module, seed: int, *, training: bool) -> list[object]:
    """Everything that one forward and backward of a copy show."""
    model = deep_copy(model).train(training)
    image = IMAGE.clone().requires_grad_()
    with seeded(seed):
        output = model(image * 1.0)
        after = torch.rand(()), random.random(), np.random.rand()
    (output * torch.linspace(-1, 1, 4)).sum().backward()
    own = [name for name, _ in model.named_parameters() if "attn_inject" not in name]
    attributes = [
        (name.replace("attn_inject", ""), sorted(key for key in vars(module) if not key.startswith("_")))
        for name, module in model.named_modules()
        if "attn_inject" not in name
    ]
    gradients = [model.get_parameter(name).grad for name in own]
    buffers = [buffer for name, buffer in model.named_buffers() if "attn_inject" not in name]
    return [output, image, image.grad, *after, *gradients, *buffers, attributes]


def is_same(left: object, right: object) -> bool:
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return torch.equal(left, right)
    return left == right


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_a_block_is_the_same_or_refused_with_its_reason(block: type[nn.Module], placement: str) -> None:
    torch.manual_seed(0)
    base = Tower(block)
    before = observed(base, 0, training=True)
    lost = BLOCKS[block] and f"{BLOCKS[block]}.*{AFTER}"
    reason = ABSENT.get((block, placement)) or (lost if placement != "after" else None)
    options = {"placement": placement, "example_input": IMAGE, "start": "paper"}
    if reason is not None:
        with pytest.raises(FitError, match=reason):
            inject(base, "se:reduction=1", check="off", **options)
        return
    if (block, placement) == (KnowsItsClass, "after"):
        with pytest.raises(CheckFailedError, match="bypass: without what was inserted, the output in eval"):
            inject(base, "se:reduction=1", **options)
        return
    model = inject(base, "se:reduction=1", check="off", **options).model
    assert len(inserted(model)) == (4 if block is HandsInAKey else 2)
    assert not is_same(observed(model, 0, training=False)[0], observed(base, 0, training=False)[0])
    with bypassed(model):
        for training, seed in [(False, 0), (True, 0), (True, 1), (True, 2)]:
            expected, found = (observed(each, seed, training=training) for each in (base, model))
            assert len(expected) == len(found)
            assert all(map(is_same, expected, found))
    assert all(map(is_same, before, observed(base, 0, training=True)))  # the given model is untouched


@pytest.mark.parametrize("block", [item for item in BLOCKS if item not in (KnowsItsClass, HandsInAKey)])
def test_all_checks_pass_after_it(block: type[nn.Module]) -> None:
    torch.manual_seed(0)
    result = inject(Tower(block), "se:reduction=1", example_input=IMAGE, start="identity", check="full")
    assert all(check.passed for check in result.report.checks)
    assert result.report.delta.params > 0
    ours, own = (inspect.signature(each.forward) for each in (result.model.parts[0], block()))
    assert str(ours) == str(own)


def test_a_refused_block_stays_as_it_was() -> None:
    model = Tower(LeavesALoss)
    with pytest.raises(AttnInjectError):
        inject(model, "se:reduction=1", placement="before-add", example_input=IMAGE)
    assert not any(hasattr(part, "penalty") for part in model.parts)
