"""Blocks inside a long skip, and layers that a stack adds in its own forward."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attn_inject import inject
from attn_inject.models.inputs import InputSpec
from attn_inject.sites.finder import find
from attn_inject.sites.site import RejectionCode
from tests.sites.test_residual import SIZE, Plain, conv


class LongSkip(nn.Module):
    """A list of blocks and a convolution, with one skip around them."""

    def __init__(self, block=Plain, depth=3):
        super().__init__()
        self.body = nn.Sequential(*(block() for _ in range(depth)), conv())

    def forward(self, x):
        return x + self.body(x)


class LayerByLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList([conv(), nn.Conv2d(8, 8, 1)]) for _ in range(3))

    def forward(self, x):
        for spatial, pointwise in self.layers:
            x = spatial(x) + x
            x = pointwise(x) + x
        return x


class Inside(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.net = module

    def forward(self, x):
        return self.net(x)


def names(model, **options):
    return [item.site.name for item in find(model, InputSpec(SIZE), **options).found]


def test_the_members_of_a_group_are_the_blocks():
    findings = find(Inside(LongSkip()), InputSpec(SIZE))
    assert [item.site.name for item in findings.found] == ["net.body.0", "net.body.1", "net.body.2"]
    assert findings.rejected[0].name == "net"
    assert findings.rejected[0].code is RejectionCode.GROUP
    assert "3 blocks" in findings.rejected[0].reason


def test_groups_of_groups():
    model = Inside(LongSkip(LongSkip, depth=2))
    assert names(model) == [f"net.body.{group}.body.{block}" for group in range(2) for block in range(3)]


def test_what_is_asked_for_overrules():
    model = Inside(LongSkip())
    assert names(model, blocks="outer") == ["net"]
    assert names(model, blocks="inner") == names(model)
    assert names(Inside(LayerByLayer()), blocks="outer") == ["net"]


def test_a_block_around_one_block_is_one_block():
    """One member, or members that hold little of it, do not make a group."""
    assert names(Inside(LongSkip(depth=1))) == ["net"]
    assert names(Inside(LongSkip(depth=1)), blocks="inner") == ["net.body.0"]

    class Wide(LongSkip):
        def __init__(self):
            super().__init__()
            self.body.append(nn.Conv2d(8, 8, 31, padding=15))

    assert names(Inside(Wide())) == ["net"]


@pytest.mark.parametrize("wrap", [True, False])
def test_a_stack_has_a_site_for_each_layer(wrap):
    model = Inside(LayerByLayer()) if wrap else LayerByLayer()
    prefix = "net." if wrap else ""
    findings = find(model, InputSpec(SIZE))
    assert [item.site.name for item in findings.found] == [f"{prefix}layers.{i}.1" for i in range(3)]
    assert [r.code for r in findings.rejected] == [RejectionCode.STACK]
    image = torch.randn(2, *SIZE)
    before = model(image)
    result = inject(model, "se", example_input=image, start="identity")
    assert "before" in result.report.insertions[0].note
    assert torch.equal(result.model(image), before)


def test_one_layer_of_two_parts_is_a_block():
    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([conv(), nn.Sequential(conv(), nn.ReLU(), conv())])

        def forward(self, x):
            for part in self.parts:
                x = x + part(x)
            return x

    assert names(Inside(Parts())) == ["net"]


def test_a_list_beside_the_trunk_is_not_a_stack():
    """Res2Net adds the last split's result to the next split: its sums are not one after the other."""

    class Splits(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = conv()
            self.convs = nn.ModuleList(nn.Conv2d(2, 2, 3, padding=1) for _ in range(3))

        def forward(self, x):
            parts = self.first(x).chunk(4, 1)
            made = [parts[0]]
            for part, layer in zip(parts[1:], self.convs, strict=True):
                made.append(layer(made[-1]) + part)
            return x + torch.cat(made, 1)

    assert names(Inside(Splits())) == ["net"]
