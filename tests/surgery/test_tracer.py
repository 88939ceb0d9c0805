"""Which arguments a trace is specialized to: only those that decide control flow."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attn_inject.errors import FitError
from attn_inject.surgery.tracer import Body, changing_attribute, trace_body
from tests.nets import modify

X = torch.empty(1, 4, 8, 8, device="meta")


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Conv2d(4, 4, 1)
        self.training_only = None


class PassesOn(Base):
    def forward(self, x, mask=None):
        return x + self.f(x) if mask is None else x + self.f(x * mask)


class HandsOver(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = Takes()

    def forward(self, x, mask=None, *, flag=False):
        return x + self.f(x, mask, flag=flag)


class Takes(Base):
    def forward(self, x, mask=None, flag=False):
        return self.f(x)


class Switch(Base):
    def forward(self, x, deep: bool = True):
        y = self.f(x)
        if deep:
            y = self.f(y)
        return x + y


class Dropout(Base):
    def forward(self, x):
        return x + nn.functional.dropout(self.f(x), 0.5, self.training)


class Fusable(Base):
    def forward(self, x):
        if self.training_only is not None:
            return self.training_only(x)
        return x + self.f(x)

    def fuse(self):
        self.training_only = nn.Identity()


class Open(Base):
    def forward(self, x, *rest):
        return x + self.f(x)


class Loops(Base):
    def forward(self, x):
        return x + self.f(x) if bool((x > 0).any()) else x


@pytest.mark.parametrize(
    ("block", "args", "specialized"),
    [
        (PassesOn, (X,), {"mask": None}),
        (HandsOver, (X,), {}),
        (Switch, (X,), {"deep": True}),
        (Switch, (X, False), {"deep": False}),
    ],
)
def test_fixed_arguments(block, args, specialized):
    body = trace_body(block().to("meta"), args, {})
    assert isinstance(body, Body)
    assert dict(body.specialized) == specialized


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (Dropout, "differently in training"),
        (Fusable, "self.training_only"),
        (Open, r"\*rest"),
        (Loops, "cannot trace"),
    ],
)
def test_bodies_that_are_refused(block, reason):
    outcome = trace_body(block().to("meta"), (X,), {})
    assert isinstance(outcome, str)
    assert reason.replace("\\", "") in outcome


def test_state_that_no_method_changes_is_no_reason():
    from timm.models.resnet import Bottleneck

    assert changing_attribute(Bottleneck) is None


def test_a_fixed_argument_refuses_another_value():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Switch()

        def forward(self, x, deep=True):
            return self.block(x, deep)

    model = Model().eval()
    image = torch.ones(1, 4, 8, 8)
    modify(model, "se:reduction=1", size=(4, 8, 8), placement="before-add")
    model(image)
    with pytest.raises(FitError, match=r"deep=True.*--placement after"):
        model(image, deep=False)
