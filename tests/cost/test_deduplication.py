"""Equal blocks are traced once, and nothing is counted otherwise."""

from __future__ import annotations

import inspect

import pytest
import timm
import torch
from torch import nn

from attn_inject.cost import count as counting
from attn_inject.cost.count import count
from attn_inject.cost.deduplication import Deduplication, fingerprint
from attn_inject.models.inputs import InputSpec

SIZE = InputSpec((3, 64, 64))


@pytest.fixture
def served(monkeypatch):
    """(block, its equal) of every count."""
    made = []
    begin = Deduplication.__init__

    def noted(self, *arguments):
        begin(self, *arguments)
        made.append(self)

    monkeypatch.setattr(Deduplication, "__init__", noted)
    return lambda: [pair for deduplication in made for pair in deduplication.served]


def block(width=8, stride=1, **more):
    module = nn.Sequential(nn.Conv2d(8, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU())
    vars(module).update(more)
    return module


class Net(nn.Module):
    """A stem and blocks, called by `run`."""

    def __init__(self, blocks, run=None):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.blocks = nn.ModuleList(blocks)
        self.run = run or (lambda net, x: [x := step(x) for step in net.blocks][-1])

    def forward(self, x):
        return self.run(self, self.stem(x))


def both(net, inputs=SIZE):
    """What is counted, after a comparison with a count of every block."""
    counted = count(net, inputs)
    assert counted == counting._count_run(net, inputs.make(batch_size=1), every_block=True)
    return counted


@pytest.mark.parametrize(
    "name", ["resnet50", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "nasnetalarge"]
)
def test_nothing_is_counted_otherwise(name, served):
    model = timm.create_model(name)
    both(model, InputSpec(model.pretrained_cfg["input_size"]))
    assert len(served()) > 3


def test_equal_blocks_are_served_and_others_are_not(served):
    both(Net([block(), block(), block(stride=2), block(), block(groups=2), block(16)]))
    # The fourth has another input, the fifth an attribute of its own.
    assert served() == [("blocks.1", "blocks.0")]


def test_a_probability_of_training_makes_no_difference(served):
    both(Net([nn.Sequential(block(), nn.Dropout(rate)) for rate in (0.1, 0.2)]))
    assert served() == [("blocks.1", "blocks.0")]
    assert fingerprint(nn.Dropout(0.1)) != fingerprint(nn.Dropout(0.2))


class Noted(nn.Module):
    """A block that is given something besides the map."""

    def __init__(self):
        super().__init__()
        self.inner = block()

    def forward(self, x, extra=None):
        if isinstance(extra, torch.Tensor):
            return self.inner(x) if extra.sum() > 0 else x
        return self.inner(x) if extra else x


def test_other_arguments_make_a_difference(served):
    both(
        Net([Noted() for _ in range(3)], lambda net, x: [b(x, extra=i > 0) for i, b in enumerate(net.blocks)])
    )
    assert served() == [("blocks.1.inner", "blocks.0.inner"), ("blocks.2", "blocks.1")][1:]


def test_values_that_are_known_make_a_difference(served):
    both(
        Net(
            [Noted() for _ in range(3)],
            lambda net, x: [b(x, torch.tensor(i)) for i, b in enumerate(net.blocks)],
        )
    )
    assert served() == [("blocks.2.inner", "blocks.1.inner")]


def test_a_block_that_runs_again_after_it_stood_for_others(served):
    def run(net, x):
        for step in (*net.blocks, net.blocks[0][0]):
            x = step(x)
        return x

    counted = both(Net([nn.Sequential(block(), block()) for _ in range(2)], run))
    assert counted.by_module["blocks.0"].cost.flops > counted.by_module["blocks.1"].cost.flops


def test_a_block_that_runs_again_in_a_model_that_reads_values():
    def run(net, x):
        for step in (*net.blocks, net.blocks[0][0]):
            x = step(x)
        return x if x.sum() > 1e9 else net.blocks[1](x)

    net = Net([nn.Sequential(block(), block()) for _ in range(2)], run)
    expected = counting._count_run(net, SIZE.make(batch_size=1), every_block=True, real=True)
    assert count(net, SIZE) == expected


def test_a_block_that_ran_twice_stands_for_none(served):
    def run(net, x):
        for step in (net.blocks[0], net.blocks[0], net.blocks[1]):
            x = step(x)
        return x

    both(Net([block(), block()], run))
    assert served() == []


def test_a_block_under_two_names_is_left_alone(served):
    shared = block()
    both(Net([nn.Sequential(shared), nn.Sequential(shared)]))
    assert served() == []


def test_blocks_within_blocks(served):
    counted = both(Net([nn.Sequential(block(), block()) for _ in range(3)]))
    assert served() == [
        ("blocks.0.1", "blocks.0.0"),
        ("blocks.1", "blocks.0"),
        ("blocks.2", "blocks.0"),
    ]
    assert counted.by_module["blocks.2.1.0"].cost == counted.by_module["blocks.0.0.0"].cost


def test_what_cannot_be_compared_is_traced(served):
    owned = (nn.Parameter, nn.Parameter, {1: [set]}, [object()], [object()], torch.ones(3), torch.ones(3))
    blocks = [block(own=value) for value in owned]
    blocks[3].own.append(blocks)  # it holds itself
    both(Net(blocks))
    assert served() == [("blocks.1", "blocks.0"), ("blocks.6", "blocks.5")]


class Leaves(nn.Module):
    """A block that leaves something besides what it returns."""

    def __init__(self, store=None):
        super().__init__()
        self.inner = nn.Conv2d(8, 8, 1)
        self.unused = nn.Conv2d(8, 8, 1)
        self.weight = nn.Parameter(torch.ones(8, 8, 1, 1))
        self.aux = torch.zeros(())
        self.store = store

    def forward(self, x, other=None):
        y = self.inner(x)
        self.aux = y.mean()
        if self.store is not None:
            self.store.append(y)
        return y


class Own(nn.Module):
    """A block with work of its own, and with an option."""

    def __init__(self, read_signature=False):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 8, 1, 1))
        self.unused = nn.Conv2d(8, 8, 1)
        self.act = nn.Sequential(nn.ReLU())

    def forward(self, x, mask=None):
        y = nn.functional.conv2d(x, self.weight)
        return self.act(y * 2 if mask is None else y * mask)


class Same(nn.Module):
    """A block that looks whether it is given one tensor twice."""

    def __init__(self):
        super().__init__()
        self.conv = block()

    def forward(self, q, k):
        return self.conv(q) if q is k else self.conv(q) + self.conv(k) * 2


def through(net, x, step):
    for one in net.blocks:
        x = step(one, x)
    return x


STORE: list[torch.Tensor] = []
CALLS = {
    "something is left in an attribute": (
        Leaves,
        lambda net, x: through(net, x, lambda b, x: b(x)) + sum(b.aux for b in net.blocks),
    ),
    "something is left in a list": (
        lambda: Leaves(STORE),
        lambda net, x: (
            through(net, x, lambda b, x: b(x)) + sum(net.blocks[0](y) for y in [*net.blocks[0].store])
        ),
    ),
    "a child runs outside": (Leaves, lambda net, x: through(net, x, lambda b, x: b.unused(b(x)))),
    "a child runs first": (Leaves, lambda net, x: through(net, x, lambda b, x: b(b.unused(x)))),
    "its forward is called": (Own, lambda net, x: through(net, x, lambda b, x: b.forward(x))),
    "the last is used": (Own, lambda net, x: [b(x) for b in net.blocks][-1]),
    "the first is used": (Own, lambda net, x: (lambda first, *_: first)(*(b(x) for b in net.blocks))),
    "one tensor twice": (Same, lambda net, x: through(net, x, lambda b, y: b(y, x))),
    "its signature is read": (
        Own,
        lambda net, x: through(
            net, x, lambda b, x: b(x, x) if "mask" in inspect.signature(b.forward).parameters else x
        ),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_blocks_that_are_not_only_called(name):
    make, run = CALLS[name]
    net = Net([make(), make(), make()], run)
    counted = count(net, SIZE)
    assert counted == counting._count_run(net, SIZE.make(batch_size=1), every_block=True)
    assert counted.cost.flops > 0


def test_blocks_that_share_something_that_may_change(served):
    numbers = iter(range(3))
    both(Net([block(own=numbers), block(own=numbers)]))
    assert served() == []
