"""A sum counts however it is written, and where paths meet in anything else the meeting is named."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from attn_inject import inject
from attn_inject.models.inputs import InputSpec
from attn_inject.sites.finder import find
from attn_inject.sites.site import RejectionCode
from tests.sites.test_residual import SIZE, Block, Model, conv


class Minus(Block):
    def forward(self, x):
        return x - self.f(x)


class Lerp(Block):
    def forward(self, x):
        return torch.lerp(x, self.f(x), 0.3)


class AddProduct(Block):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(8, 1, 1))

    def forward(self, x):
        return torch.addcmul(x, self.gamma, self.f(x))


class Out(Block):
    def forward(self, x):
        return torch.add(x, self.f(x), out=torch.empty_like(x))


class StackedThree(Block):
    def forward(self, x):
        return torch.stack([x, self.f(x), self.g(x)], 1).mean(1)


class Foreach(Block):
    def forward(self, x):
        return torch._foreach_add([x], [self.f(x)])[0]


class ForeachInPlace(Block):
    def forward(self, x):
        y = self.f(x)
        torch._foreach_add_([y], [x])
        return y


class IntoAll(Block):
    def forward(self, x):
        y = self.f(x)
        y[:] = y + x
        return y


class IntoPart(Block):
    def forward(self, x):
        x = x.clone()
        x[:, :4] += self.f(x)[:, :4]
        return x


class ThroughAView(Block):
    def forward(self, x):
        y = x.clone()
        y[:, 2:].add_(self.f(x)[:, 2:])
        return y


class Sum(nn.Module):
    def forward(self, a, b):
        return (a + b).relu()


class InAChild(Block):
    def __init__(self):
        super().__init__()
        self.add = Sum()

    def forward(self, x):
        return self.add(self.f(x), x)


class InAFloatFunctional(Block):
    def __init__(self):
        super().__init__()
        self.add = torch.ao.nn.quantized.FloatFunctional()

    def forward(self, x):
        return self.add.add(self.f(x), x)


@pytest.mark.parametrize(
    ("block", "shortcut"),
    [
        (Minus, 0),
        (Lerp, 0),
        (AddProduct, 0),
        (Out, 0),
        (StackedThree, 0),
        (Foreach, 0),
        (ForeachInPlace, 1),
        (IntoAll, 1),
        (IntoPart, 0),
        (ThroughAView, 0),
        (InAChild, 1),
        (InAFloatFunctional, 1),
    ],
)
def test_every_way_to_add(block, shortcut):
    findings = find(Model(block), InputSpec(SIZE))
    assert [item.site.name for item in findings.found] == ["block"]
    assert findings.found[0].addition.shortcut == shortcut


def test_a_difference_takes_every_placement():
    """x - A(f(x)) is the same edit as x + A(f(x))."""
    for placement in ("before-add", "on-shortcut", "before-block"):
        assert len(inject(Model(Minus), "se", input_size=SIZE, placement=placement).report.insertions) == 1


def test_a_sum_in_a_child_says_why_the_branch_cannot_be_taken():
    with pytest.raises(Exception, match=r"its sum is made by block\.add"):
        inject(Model(InAChild), "se", input_size=SIZE, placement="before-add")


class Concatenates(Block):
    def forward(self, x):
        return torch.cat([x, self.f(x)], 1).relu()


class Multiplies(Block):
    def forward(self, x):
        return x * self.f(x)


class Joins(nn.Module):
    def forward(self, a, b):
        return a * b


class MeetsInAChild(Block):
    def __init__(self):
        super().__init__()
        self.join = Joins()

    def forward(self, x):
        return self.join(x, self.f(x))


@pytest.mark.parametrize(
    ("block", "meeting"),
    [(Concatenates, "torch.cat"), (Multiplies, "torch.mul"), (MeetsInAChild, "join")],
)
def test_where_paths_meet_in_anything_else(block, meeting):
    findings = find(Model(block), InputSpec(SIZE))
    assert findings.found == ()
    told = {item.name: (item.code, item.reason) for item in findings.rejected}
    reason = f"its input reaches the output through f and around it, but they meet in {meeting}"
    assert told["block"] == (RejectionCode.NO_SUM, reason)


@dataclass
class Feature:
    x: torch.Tensor
    scale: float = 1.0


@dataclass(frozen=True)
class Frozen:
    x: torch.Tensor


@pytest.mark.parametrize("kind", [Feature, Frozen])
def test_a_dataclass_in_and_out(kind):
    model = _Passing(kind)
    findings = find(model, InputSpec(SIZE))
    assert [(item.site.name, item.site.element) for item in findings.found] == [
        ("blocks.0", ".x"),
        ("blocks.1", ".x"),
    ]
    image = torch.randn(2, *SIZE)
    before = model(image)
    result = inject(model, "se", example_input=image, start="identity")
    assert len(result.report.insertions) == 2
    assert torch.equal(result.model(image), before)


class _Passes(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.f = kind, conv()

    def forward(self, feature):
        return self.kind(feature.x + self.f(feature.x))


class _Passing(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.blocks = nn.ModuleList(_Passes(kind) for _ in range(2))

    def forward(self, x):
        feature = self.kind(x)
        for block in self.blocks:
            feature = block(feature)
        return feature.x


def test_every_call_is_judged():
    class Later(Block):
        def forward(self, x, add=False):
            return x + self.f(x) if add else self.f(x)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Later()

        def forward(self, x):
            return self.block(self.block(x), add=True)

    found = find(Twice(), InputSpec(SIZE)).found
    assert [(item.site.name, item.site.calls) for item in found] == [("block", 2)]
    assert found[0].addition.node in found[0].call.nodes


def test_weights_that_never_ran_are_named():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.aux, self.norm = conv(), nn.Sequential(conv(), nn.ReLU()), nn.BatchNorm2d(8)
            self.mixer = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            tokens = self.stem(x).flatten(2).transpose(1, 2)
            return self.mixer(tokens, tokens, tokens)[0]

    rejected = find(Auxiliary(), InputSpec(SIZE)).rejected
    assert [item.name for item in rejected if item.code is RejectionCode.NOT_RUN] == ["aux"]
