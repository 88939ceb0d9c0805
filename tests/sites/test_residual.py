"""The residual predicate: look-alikes that must stay out, then what counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attn_inject.models.inputs import InputSpec
from attn_inject.sites.finder import find

SIZE = (8, 16, 16)


def conv(stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(8, 8, 3, stride, padding=1)


class Block(nn.Module):
    """One child `f`, and what each subclass does with it."""

    def __init__(self) -> None:
        super().__init__()
        self.f = conv()
        self.g = conv()
        self.pool = nn.AvgPool2d(3, 1, 1)


class TwoVectors(Block):
    def forward(self, x):
        return self.f(x).mean((2, 3)) + x.mean((2, 3))


class PositionEmbedding(Block):
    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 8, 16, 16))

    def forward(self, x):
        return self.f(x) + self.position


class Broadcast(Block):
    def forward(self, x):
        return self.f(x) + x.mean((2, 3), keepdim=True)


class Unweighted(Block):
    def forward(self, x):
        return self.pool(x) + x


class SumLost(Block):
    def forward(self, x):
        _ = self.f(x) + x
        return self.g(x)


class SameTrunk(Block):
    def forward(self, x):
        y = self.f(x)
        return y.relu() + y


class TwoDeepBranches(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = nn.Sequential(conv(), conv(), conv())
        self.right = nn.Sequential(conv(), conv(), conv(), conv())

    def forward(self, x):
        return self.left(x) + self.right(x)


class Plain(Block):
    def forward(self, x):
        return self.f(x) + x


class Swapped(Block):
    def forward(self, x):
        return x + self.f(x)


class InPlace(Block):
    def forward(self, x):
        y = self.f(x)
        y += x
        return y.relu_()


class Functional(Block):
    def forward(self, x):
        return torch.add(self.f(x), x)


class Scaled(Block):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(8, 1, 1))

    def forward(self, x):
        return x + self.gamma * self.f(x)


class Projected(Block):
    def __init__(self):
        super().__init__()
        self.project = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))

    def forward(self, x):
        return self.g(self.f(x)) + self.project(x)


class PooledShortcut(Block):
    def forward(self, x):
        return self.f(x) + self.pool(x)


class PreActivation(Block):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        y = self.norm(x).relu()
        return self.f(y) + y


class TwoAdditions(Block):
    def forward(self, x):
        x = x + self.f(x)
        return x + self.g(x)


class ControlFlow(Block):
    def forward(self, x):
        for module in (self.f, self.g):
            if x.shape[2] > int(x.shape[1]) and float(len(x.shape)) > 3:
                x = x + module(x)
        return x


class ReturnsTuple(Block):
    def forward(self, x):
        return self.g(x), self.f(x) + x


class ReturnsDict(Block):
    def forward(self, x):
        return {"state": self.g(x), "x": self.f(x) + x}


class Model(nn.Module):
    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        self.stem = conv()
        self.block = block()

    def forward(self, x):
        return self.block(self.stem(x))


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (TwoVectors, "not maps"),
        (PositionEmbedding, None),
        (Broadcast, "differ"),
        (Unweighted, None),
        (SumLost, "does not reach the output"),
        (SameTrunk, "none of which is a shortcut"),
        (TwoDeepBranches, "the shortcut is not a projection"),
    ],
)
def test_look_alikes_are_no_blocks(block, reason):
    findings = find(Model(block), InputSpec(SIZE))
    assert [item.site.name for item in findings.found] == []
    reasons = {item.name: item.reason for item in findings.rejected}
    if reason is None:
        assert "block" not in reasons
    else:
        assert reason in reasons["block"]


@pytest.mark.parametrize(
    ("block", "shortcut"),
    [
        (Plain, 1),
        (Swapped, 0),
        (InPlace, 1),
        (Functional, 1),
        (Scaled, 0),
        (Projected, 1),
        (PooledShortcut, 1),
        (PreActivation, 1),
        (TwoAdditions, 0),
        (ControlFlow, 0),
    ],
)
def test_residual_blocks(block, shortcut):
    findings = find(Model(block), InputSpec(SIZE))
    assert [(item.site.name, item.site.element) for item in findings.found] == [("block", None)]
    addition = findings.found[0].addition
    assert addition is not None
    assert addition.shortcut == shortcut
    site = findings.found[0].site
    assert (site.layout, site.channels, site.height, site.width) == ("NCHW", 8, 16, 16)


@pytest.mark.parametrize(("block", "element"), [(ReturnsTuple, 1), (ReturnsDict, "x")])
def test_the_element_that_the_addition_made(block, element):
    findings = find(Model(block), InputSpec(SIZE))
    assert [item.site.element for item in findings.found] == [element]


def test_the_outermost_block_counts_and_inner_ones_say_so():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = TwoAdditions()
            self.f = conv()

        def forward(self, x):
            return x + self.f(self.inner(x))

    findings = find(Model(Outer), InputSpec(SIZE))
    assert [item.site.name for item in findings.found] == ["block"]
    assert {r.name: r.reason for r in findings.rejected} == {"block.inner": "it is part of a residual block"}


def test_a_shortcut_handed_in_counts_unless_it_sums_residual_blocks():
    class HandedIn(nn.Module):
        def __init__(self, deep):
            super().__init__()
            self.f = TwoAdditions() if deep else conv()

        def forward(self, x, shortcut):
            return self.f(x) + shortcut

    class Two(nn.Module):
        def __init__(self, deep):
            super().__init__()
            self.stem = conv()
            self.block = HandedIn(deep)

        def forward(self, x):
            return self.block(self.stem(x), x)

    assert [i.site.name for i in find(Two(deep=False), InputSpec(SIZE)).found] == ["block"]
    fused = find(Two(deep=True), InputSpec(SIZE))
    assert [i.site.name for i in fused.found] == ["block.f"]
    assert ("block", "it sums the outputs of other residual blocks") in {
        (r.name, r.reason) for r in fused.rejected
    }


def test_a_wrapper_stands_for_its_owner():
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = conv()

        def forward(self, x):
            return x + self.m(x)

    class Owner(nn.Module):
        def __init__(self):
            super().__init__()
            self.mixer = Wrapper()
            self.mlp = Wrapper()

        def forward(self, x):
            return self.mlp(self.mixer(x))

    findings = find(Model(Owner), InputSpec(SIZE))
    assert [i.site.name for i in findings.found] == ["block"]
    assert {r.name: r.reason for r in findings.rejected} == {
        "block.mixer": "it is part of a residual block",
        "block.mlp": "it is part of a residual block",
    }
    alone = nn.Sequential(conv(), nn.Sequential(Wrapper(), nn.BatchNorm2d(8)))
    assert [i.site.name for i in find(alone, InputSpec(SIZE)).found] == ["1.0"]
