"""Zeros that are given without computing them are what torch computes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.models.inputs import InputSpec
from attn_inject.sites.known_zeros import fill, known_zeros, zeros
from attn_inject.sites.recording import _zeros, record
from tests.sites.asking import Asking

MAP = (2, 4, 6, 6)
LAYERS = {
    "convolution": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), MAP),
    "convolution of parts": (lambda: nn.Conv2d(4, 4, 3, groups=4, bias=False), MAP),
    "transposed": (lambda: nn.ConvTranspose2d(4, 2, 2, stride=2), MAP),
    "linear": (lambda: nn.Linear(6, 3), MAP),
    "batch norm": (lambda: nn.BatchNorm2d(4), MAP),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_zeros_give_zeros(name):
    make, shape = LAYERS[name]
    layer = make().eval()
    x = torch.randn(shape)
    with torch.no_grad():
        with Asking(known_zeros) as asking:
            _zeros(layer)(x)
        assert len(asking.answers) == 1
        with Asking(known_zeros) as asking:
            layer(x)
        assert asking.answers == []


def test_a_norm_without_scale_is_no_layer_of_zeros():
    with torch.no_grad(), Asking(known_zeros) as asking:
        _zeros(nn.BatchNorm2d(4, affine=False)).eval()(torch.randn(MAP))
    assert asking.answers == []


def test_a_repeated_one_is_no_zero():
    layer = nn.Linear(6, 3)
    layer.weight = nn.Parameter(torch.ones(()).expand(3, 6))
    layer.bias = nn.Parameter(torch.zeros(()).expand(3))
    with torch.no_grad(), Asking(known_zeros) as asking:
        layer(torch.randn(MAP))
    assert asking.answers == []


OPERATIONS = {
    "relu": (lambda x: F.relu(x), 1),
    "sigmoid": (lambda x: x.sigmoid(), 0),
    "sum": (lambda x: x + zeros(x.shape, x.dtype), 1),
    "sum with few zeros": (lambda x: x + torch.zeros(4, 1, 1), 1),
    "sum with others": (lambda x: x + torch.ones(4, 1, 1), 0),
    "sum with a number": (lambda x: x + 1, 0),
    "product": (lambda x: x * torch.rand(4, 1, 1), 1),
    "product with a number": (lambda x: x * 3, 1),
    "product with infinity": (lambda x: x * torch.full((4, 1, 1), torch.inf), 0),
    "larger product": (lambda x: x * torch.rand(3, 1, 1, 1, 1), 1),
    "pool": (lambda x: F.max_pool2d(x, 2), 1),
    "resized": (lambda x: F.interpolate(x, scale_factor=2.0), 1),
    "another type": (lambda x: x + torch.zeros(1, dtype=torch.float64), 1),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_on_zeros(name):
    operation, known = OPERATIONS[name]
    with Asking(known_zeros) as asking:
        operation(zeros(MAP, torch.float32))
    assert len(asking.answers) >= known
    assert known or asking.answers == []
    with Asking(known_zeros) as asking:
        operation(torch.ones(MAP))
    assert asking.answers == []


FEW = torch.zeros(4, 1, 1)


def write(x):
    y = x.add_(FEW)
    y += x
    y *= 2.0
    return F.relu(y, inplace=True)


def test_writing_zeros_to_zeros_leaves_the_tensor():
    x = zeros(MAP, torch.float32)
    with Known():
        assert write(x) is x


def test_what_cannot_be_known_is_given_memory():
    x = zeros(MAP, torch.float32)
    with pytest.raises(RuntimeError, match="single memory location"):
        x.add_(1)
    assert fill(([x], {}))
    assert x.add_(1).sum() == x.numel()
    assert not fill(([x], {"a": 3}))


class Known(torch.overrides.TorchFunctionMode):
    """Answers from `known_zeros` alone."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        answer = known_zeros(func, args, kwargs or {})
        assert answer is not None, func
        return answer


class Reads(nn.Module):
    """A network that reads a value, so that it cannot run on meta, and writes to what a layer returned."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(True)
        )

    def forward(self, x):
        if x.sum() > 1e9:
            return x
        y = self.conv(x)
        y.clamp_(min=1.0)
        return y + self.block(y)


class WritesAPart(Reads):
    def forward(self, x):
        y = self.conv(x)
        y[:, 0] = 1.0
        return y if y.sum() > 1 else x


def test_a_part_of_zeros_may_be_written_to():
    output = record(WritesAPart(), InputSpec((3, 8, 8))).calls[0].output
    assert (output.shape, output.sum()) == ((1, 4, 8, 8), 64)


def test_a_recorded_run_on_zeros():
    run = record(Reads(), InputSpec((3, 8, 8)))
    output = run.calls[0].output
    assert output.shape == (1, 4, 8, 8)
    assert bool((output == 1).all())
