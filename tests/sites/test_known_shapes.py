"""What is given without computing it is what torch computes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.sites.known_shapes import known_shape
from tests.sites.asking import Asking

MAP, TOKENS = (2, 4, 6, 6), (2, 5, 4)
LAYERS = {
    "batch norm": (lambda: nn.BatchNorm2d(4), MAP),
    "batch norm without scale": (lambda: nn.BatchNorm2d(4, affine=False), MAP),
    "layer norm": (lambda: nn.LayerNorm(4), TOKENS),
    "layer norm over two": (lambda: nn.LayerNorm((5, 4), elementwise_affine=False), TOKENS),
    "linear": (lambda: nn.Linear(4, 3), TOKENS),
    "linear without bias": (lambda: nn.Linear(4, 3, bias=False), (2, 4)),
    "lstm": (lambda: nn.LSTM(4, 3, num_layers=2, batch_first=True), TOKENS),
    "lstm of both directions": (lambda: nn.LSTM(4, 3, bidirectional=True), TOKENS),
    "lstm with projections": (lambda: nn.LSTM(4, 3, proj_size=2), TOKENS),
    "relu": (nn.ReLU, MAP),
    "relu in place": (lambda: nn.ReLU(inplace=True), MAP),
    "gelu": (lambda: nn.GELU("tanh"), MAP),
    "silu in place": (lambda: nn.SiLU(inplace=True), MAP),
    "hardswish": (nn.Hardswish, MAP),
    "hardswish in place": (lambda: nn.Hardswish(inplace=True), MAP),
    "hardsigmoid": (nn.Hardsigmoid, MAP),
}


@pytest.mark.parametrize("name", LAYERS)
def test_shapes_are_torchs(name):
    make, shape = LAYERS[name]
    with torch.device("meta"), torch.no_grad():
        layer, x = make().eval(), torch.empty(shape)
        with Asking(known_shape) as asking:
            layer(x)
    assert len(asking.answers) == 1


@pytest.mark.parametrize("batch_first", [True, False])
def test_an_lstm_of_columns(batch_first):
    with torch.device("meta"), torch.no_grad():
        layer, x = nn.LSTM(4, 3, batch_first=batch_first), torch.empty(6, 5, 4).transpose(0, 1)
        with Asking(known_shape) as asking:
            layer(x)
    assert len(asking.answers) == 1


SUMS = {
    "maps": lambda x: x + x,
    "product": lambda x: x * x,
    "number": lambda x: 2 * x + 1,
    "method": lambda x: x.add(x),
    "gate": lambda x: x * x.mean((2, 3), keepdim=True),
    "smaller first": lambda x: x.mean((2, 3), keepdim=True) * x,
    "fewer dimensions": lambda x: x + x[0],
    "sigmoid": lambda x: x.sigmoid() + torch.sigmoid(x),
    "sigmoid of whole numbers": lambda x: x.long().sigmoid(),
    "another type": lambda x: x + x.double(),
    "scaled": lambda x: x.add(x, alpha=2),
    "whole numbers": lambda x: x.long() + 0.5,
    "no map": lambda x: F.relu(x.transpose(1, 2)),
}
KNOWN = {"maps": 1, "product": 1, "number": 2, "method": 1, "gate": 1, "sigmoid": 3}


@pytest.mark.parametrize("name", SUMS)
def test_sums_and_products(name):
    x = torch.empty(MAP, device="meta")
    with torch.no_grad(), Asking(known_shape) as asking:
        SUMS[name](x)
    assert len(asking.answers) == KNOWN.get(name, 0)


WRONG = {
    "batch norm": (lambda: nn.BatchNorm2d(5), MAP),
    "group norm": (lambda: nn.GroupNorm(3, 6), MAP),
    "layer norm": (lambda: nn.LayerNorm(5), TOKENS),
    "linear": (lambda: nn.Linear(5, 3), TOKENS),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_shapes_are_left_to_torch(name):
    make, shape = WRONG[name]
    with torch.device("meta"):
        layer, x = make().eval(), torch.empty(shape)
    with torch.no_grad(), Asking(known_shape) as asking, pytest.raises(RuntimeError):
        layer(x)
    assert asking.answers == []
