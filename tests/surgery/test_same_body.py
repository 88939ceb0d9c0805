"""What a traced body would lose is a reason to refuse the placement, and the user's block stays as it was."""

from __future__ import annotations

import functools
import pickle
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from attn_inject import inject, inserted
from attn_inject.errors import AttnInjectError, FitError

INNER = ("before-add", "before-block", "on-shortcut", "after-conv")
IMAGE = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.scale = 0.5
        self.options = SimpleNamespace(power=2)
        self.log: list[float] = []
        self.register_buffer("steps", torch.zeros(()))

    def branch(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    def forward(self, x):
        return x + self.branch(x)


class Net(nn.Module):
    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 4, 1)
        self.blocks = nn.Sequential(block(), block())

    def forward(self, x):
        return self.blocks(self.stem(x)).mean((2, 3))


class EnablesGrad(Plain):
    def forward(self, x):
        with torch.set_grad_enabled(not self.training):
            y = self.branch(x)
        return x + y


class Infers(Plain):
    def forward(self, x):
        with torch.inference_mode():
            guide = self.conv(x.detach())
        return x + self.norm(guide.clone())


class DecoratedNoGrad(Plain):
    @torch.no_grad()
    def branch(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class Autocasts(Plain):
    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            y = self.branch(x)
        return x + y


class _Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class OwnFunction(Plain):
    def forward(self, x):
        return x + _Twice.apply(self.branch(x))


class Checkpoints(Plain):
    def forward(self, x):
        return x + checkpoint(self.branch, x, use_reentrant=False)


class CheckpointsReentrant(Plain):
    def forward(self, x):
        return x + checkpoint(self.branch, x, use_reentrant=True)


class Tosses(Plain):
    def forward(self, x):
        if self.training and torch.rand(()).item() < 0.5:
            return x
        return x + self.branch(x)


class TossesInPython(Plain):
    def forward(self, x):
        return x + (random.random() if self.training else 1.0) * self.branch(x)


class TossesInNumpy(Plain):
    def forward(self, x):
        return x + float(np.random.uniform(0, 1)) * self.branch(x)


class KeepsItsBranch(Plain):
    def forward(self, x):
        y = self.branch(x)
        setattr(self, "seen", y)  # noqa: B010
        return x + y


class Counts(Plain):
    def forward(self, x):
        self.scale += 1
        return x + self.branch(x)


class Appends(Plain):
    def forward(self, x):
        self.log.append(1.0)
        return x + self.branch(x)


class ReplacesABuffer(Plain):
    def forward(self, x):
        self.steps = self.steps + 1
        return x + self.branch(x)


class Freezes(Plain):
    def forward(self, x):
        return x + self.branch(x) * torch.tensor(0.5)


class WritesToItsInput(Plain):
    def forward(self, x):
        y = self.branch(x)
        x += y
        return x


LOST = {
    EnablesGrad: "switches whether gradients",
    Infers: "switches whether gradients",
    DecoratedNoGrad: "switches whether gradients",
    Autocasts: "switches autocast",
    OwnFunction: "autograd function _TwiceBackward",
    Checkpoints: "switches how activations are saved",
    CheckpointsReentrant: "CheckpointFunctionBackward",
    Tosses: "torch's random generator",
    TossesInPython: "Python's random generator",
    TossesInNumpy: "numpy's random generator",
    KeepsItsBranch: "writes self.seen",
    Counts: "writes self.scale",
    Appends: "writes self.log",
    ReplacesABuffer: "writes self.steps",
    Freezes: "would keep as a constant",
    WritesToItsInput: "writes to its input",
}


def modified(block: type[nn.Module], placement: str, check: str = "off") -> nn.Module:
    torch.manual_seed(0)
    return inject(
        Net(block), "se:reduction=1", placement=placement, example_input=IMAGE, start="paper", check=check
    ).model


@pytest.mark.parametrize("placement", INNER)
@pytest.mark.parametrize("block", LOST, ids=lambda block: block.__name__)
def test_what_a_body_would_lose_is_refused_with_its_reason(block: type[nn.Module], placement: str) -> None:
    with pytest.raises(AttnInjectError) as caught:
        modified(block, placement)
    assert LOST[block] in str(caught.value)
    assert "only --placement after works here" in str(caught.value)


@pytest.mark.parametrize("block", LOST, ids=lambda block: block.__name__)
def test_after_takes_them_all(block: type[nn.Module]) -> None:
    model = modified(block, "after")
    assert [*inserted(model)] == ["blocks.0", "blocks.1"]
    assert model(IMAGE).isfinite().all()


@pytest.mark.parametrize("placement", INNER)
def test_a_plain_block_is_taken_and_its_block_can_be_pickled(placement: str) -> None:
    model = modified(Plain, placement)
    assert torch.equal(pickle.loads(pickle.dumps(model))(IMAGE), model(IMAGE))


@pytest.mark.parametrize("block", [KeepsItsBranch, Appends, Counts, ReplacesABuffer])
def test_the_given_block_is_never_run_or_traced(block: type[nn.Module]) -> None:
    model = Net(block)
    before = [dict(vars(item)) for item in model.blocks]
    buffers = [item.steps for item in model.blocks]
    with pytest.raises(FitError):
        inject(model, "se:reduction=1", placement="before-add", example_input=IMAGE)
    assert [dict(vars(item)) for item in model.blocks] == before
    assert not model.blocks[0].log
    assert all(item.steps is buffer for item, buffer in zip(model.blocks, buffers, strict=True))


class Scales(Plain):
    def forward(self, x):
        return x + self.scale * self.branch(x) ** self.options.power


class ReadsItsClass(Plain):
    factor = 3.0

    def forward(self, x):
        return x + functools.reduce(torch.mul, [self.branch(x), self.factor])


@pytest.mark.parametrize(
    ("block", "change", "named"),
    [
        (Scales, lambda block: setattr(block, "scale", 0.25), "self.scale = 0.5"),
        (Scales, lambda block: setattr(block.options, "power", 3), "self.options.power = 2"),
        (ReadsItsClass, lambda block: setattr(block, "factor", 2.0), "self.factor = 3.0"),
    ],
)
def test_a_number_that_became_a_constant_may_not_change(block, change, named: str) -> None:
    model = modified(block, "before-add").eval()
    model(IMAGE)
    change(model.blocks[1])
    with pytest.raises(FitError, match=named):
        model(IMAGE)


def test_a_number_that_the_body_does_not_use_may_change() -> None:
    model = modified(Plain, "before-add").eval()
    before = model(IMAGE)
    model.blocks[0].scale = 7.0
    assert torch.equal(model(IMAGE), before)


class TakesAShortcut(Plain):
    def forward(self, x, shortcut=None):
        if shortcut is None:
            shortcut = x
        return shortcut + self.branch(x)


class Unpacks(Plain):
    def forward(self, x):
        if not isinstance(x, Tensor):
            x = x.tensors
        return x + self.branch(x)


@pytest.mark.parametrize("placement", INNER)
def test_an_argument_that_a_body_asks_for_is_part_of_the_body(placement: str) -> None:
    torch.manual_seed(0)
    base = Net(TakesAShortcut).eval()
    model = inject(base, "se:reduction=1", placement=placement, example_input=IMAGE, start="identity").model
    assert torch.equal(model.eval()(IMAGE), base(IMAGE))
    with pytest.raises(FitError, match="shortcut"):
        model.blocks[0](IMAGE, IMAGE)


@pytest.mark.parametrize("placement", INNER)
def test_a_body_that_does_not_run_is_refused(placement: str) -> None:
    with pytest.raises(FitError, match=r"its traced body does not run \(AttributeError"):
        modified(Unpacks, placement)
