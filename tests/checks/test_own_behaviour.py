"""What a base does by itself is not taken for a fault: its state, its randomness, its graph, its modes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from attn_inject.checks.reference import reference_outputs
from attn_inject.checks.runner import prove_all
from attn_inject.models.inputs import InputSpec
from tests.nets import modify

SIZE = (3, 64, 64)
INPUTS = InputSpec(SIZE)


class AsksItsType(nn.Module):
    """Doubles its branch in every class but its own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x) * (1 if type(self) is AsksItsType else 2)


class Remembers(AsksItsType):
    """A run moves a buffer that the next one reads."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x):
        y = self.conv(x)
        self.mean = self.mean * 0.9 + y.detach().mean()
        return x + y - self.mean


class Counts(AsksItsType):
    """The same in a plain attribute, and keeps its last output."""

    def __init__(self):
        super().__init__()
        self.step = 0

    def forward(self, x):
        self.step += 1
        self.last = self.conv(x)
        return x + self.last * self.step


class Queues(AsksItsType):
    """The same in place, as contrastive learning keeps its queue."""

    def __init__(self):
        super().__init__()
        self.register_buffer("queue", torch.zeros(3))

    def forward(self, x):
        y = self.conv(x)
        self.queue[0] = y.detach().mean() + self.queue.sum()
        return x + y * self.queue[0]


class Ticks(AsksItsType):
    """Two runs differ whatever is restored."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def forward(self, x):
        self.steps.append(1)
        return x + self.conv(x) * len(self.steps)


class ChecksPoints(AsksItsType):
    """Its graph is hidden in a reentrant checkpoint."""

    def forward(self, x):
        return x + checkpoint(self.conv, x, use_reentrant=True)


class WritesItsInput(AsksItsType):
    def forward(self, x):
        x += self.conv(x)
        return x


class WithoutGraph(AsksItsType):
    def forward(self, x):
        with torch.no_grad():
            return x + self.conv(x)


class NegativeZeros(AsksItsType):
    """The gradient of its first position is -0, which the identity of an inserted module makes 0."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.rand(1, 3, 64, 64))
        self.register_buffer("scale", torch.tensor([-0.0, 1.0, 1.0]).reshape(1, 3, 1, 1))

    def forward(self, x):
        return (x + (self.conv(x) + self.position)) * self.scale


def proven(model, start, attention="se:reduction=1", **options):
    """The checks of a model of small blocks, by name."""
    before = reference_outputs(model, INPUTS, seed=0)
    edits = modify(model, attention, size=SIZE, start=start, **options)
    calls = {edit.path: edit.site.calls for edit in edits}
    return {
        check.name: check
        for check in prove_all(model, INPUTS, before, calls=calls, identity=start == "identity")
    }


def test_a_block_that_asks_for_its_type_is_not_the_base():
    for start in ("paper", "identity"):
        failed = [
            check.name for check in proven(nn.Sequential(AsksItsType()), start).values() if not check.passed
        ]
        assert {"paper": "bypass", "identity": "identity in eval()"}[start] in failed


@pytest.mark.parametrize("start", ["identity", "paper"])
@pytest.mark.parametrize("block", [Remembers, Counts, Queues, Ticks, ChecksPoints, WritesItsInput])
def test_what_a_base_does_by_itself_is_no_fault(block, start):
    model = nn.Sequential(nn.Conv2d(3, 3, 1), block(), block())
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    checks = proven(model, start)
    assert [check for check in checks.values() if not check.passed] == []
    compared = checks["bypass" if start == "paper" else "identity in eval()"].detail
    assert ("two runs of the base itself" in compared) is (block is Ticks)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items() if key in state)
    for name, before in attributes.items():
        assert not {key for key in vars(model.get_submodule(name)) if key == "last"} - before


def test_zeros_of_either_sign_are_the_same_gradient():
    checks = proven(nn.Sequential(NegativeZeros()), "identity", placement="before-add")
    assert [check for check in checks.values() if not check.passed] == []
    assert "bit-equal" in checks["base gradients"].detail


def test_a_module_that_the_base_runs_without_a_graph_is_named():
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = Remembers(), Remembers()

        def forward(self, x):
            with torch.no_grad():
                x = self.first(x)
            return self.second(x)

    gradients = proven(Frozen(), "identity")["gradients"]
    assert gradients.passed
    assert gradients.detail.endswith("the base itself cuts off first.attn_inject")


class Squares(nn.Module):
    """An attention module that multiplies by its own input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x * self.weight


class Divides(Squares):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight / 0.0


@pytest.mark.parametrize(("attention", "passes"), [(Squares, True), (Divides, False)])
def test_activations_that_only_grow_too_large_are_told_and_pass(attention, passes):
    model = nn.Sequential(*(Remembers() for _ in range(9)))
    before = reference_outputs(model, INPUTS, seed=0)
    edits = modify(model, attention, size=SIZE, start="paper")
    checks = prove_all(model, INPUTS, before, calls={e.path: e.site.calls for e in edits}, identity=False)
    outputs = next(check for check in checks if check.name == "outputs")
    assert outputs.passed is passes
    assert ("grow to" in outputs.detail) is passes


def test_norms_that_the_model_keeps_in_evaluation_stay_so():
    class Keeps(nn.Sequential):
        def train(self, mode=True):
            super().train(mode)
            self[0].eval()
            return self

    model = Keeps(nn.BatchNorm2d(3), Remembers()).eval()
    assert proven(model, "identity")["modes"].passed
