"""`after` keeps every signature: what a block could be called with, it still can."""

from __future__ import annotations

import enum
import functools
import inspect

import numpy as np
import pytest
import torch
from torch import nn

from attn_inject import inject

IMAGE = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


class Mode(enum.IntEnum):
    FAST = 1


def passing_on(forward):
    @functools.wraps(forward)
    def call(*args, **kwargs):
        kwargs.pop("extra", None)
        return forward(*args, **kwargs)

    return call


def bare(forward):
    return lambda *args, **kwargs: forward(*args, **kwargs)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x)


class Defaults(Block):
    def forward(
        self,
        x,
        mode=Mode.FAST,
        scale=np.float64(2.0),  # noqa: B008
        limit=float("inf"),
        *,
        shift=torch.zeros(1),  # noqa: B008
        kind=torch.float32,
        nothing=float("nan"),
    ):
        return x + self.conv(x).clamp(max=limit).to(kind) * float(scale) * int(mode) + shift


class OurNames(Block):
    def forward(self, x, base_forward=None, attn_inject=None, output_of_base=None, torch=None):
        return x + self.conv(x)


class Wrapped(Block):
    forward = passing_on(Block.forward)


class Bare(Block):
    forward = bare(Block.forward)


class Net(nn.Module):
    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(block(), block())

    def forward(self, x):
        return self.blocks(x).mean((2, 3))


@pytest.mark.parametrize("block", [Defaults, OurNames, Wrapped, Bare])
def test_after_takes_the_signature_and_keeps_it(block: type[nn.Module]) -> None:
    torch.manual_seed(0)
    base = Net(block).eval()
    modified = inject(base, "se:reduction=1", start="identity", example_input=IMAGE).model.eval()
    assert torch.equal(modified(IMAGE), base(IMAGE))
    assert repr(inspect.signature(modified.blocks[0].forward)) == repr(
        inspect.signature(base.blocks[0].forward)
    )


def test_what_a_decorator_takes_is_taken() -> None:
    modified = inject(Net(Wrapped), "se:reduction=1", example_input=IMAGE).model
    block = modified.eval().blocks[0]
    assert torch.equal(block(IMAGE, extra=True), block(IMAGE))
