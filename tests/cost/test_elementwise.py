"""Elementwise operations and bytes moved, counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attn_inject.cost.count import count_call

N = 16 * 10 * 10  # elements of the map


class Do(nn.Module):
    def __init__(self, work):
        super().__init__()
        self.work = work

    def forward(self, x):
        return self.work(x)


def beyond_flops(counted):
    return counted.cost.gate_operations, counted.cost.gate_bytes


@pytest.mark.parametrize(
    ("work", "operations", "elements"),
    [
        pytest.param(torch.relu, N, 2 * N, id="one in, one out"),
        pytest.param(lambda x: x * x, N, 3 * N, id="two in, one out"),
        pytest.param(lambda x: x.mean((2, 3)), N, N + 16, id="a mean reads the map"),
        pytest.param(
            lambda x: x * x.amax((2, 3), keepdim=True), 2 * N, 3 * N + 2 * 16, id="a gate is broadcast"
        ),
        pytest.param(
            lambda x: x * x[:, :, :1, :1].expand_as(x), N, 2 * N + 16, id="an expanded gate is small"
        ),
        pytest.param(lambda x: x.transpose(1, 3), 0, 0, id="a view is free"),
        pytest.param(lambda x: x.transpose(1, 3).contiguous(), 0, 2 * N, id="a copy only moves"),
        pytest.param(lambda x: x.transpose(1, 3).reshape(10, -1), 0, 2 * N, id="a copy that reshape makes"),
        pytest.param(lambda x: torch.cat([x, x]), 0, 4 * N, id="putting together only moves"),
        pytest.param(lambda x: x[:, :4].sigmoid(), N // 4, N // 2, id="part of the map"),
        pytest.param(lambda x: x.flatten(2) @ x.flatten(2).mT, 0, 0, id="products are in flops"),
    ],
)
def test_kernels(work, operations, elements):
    counted = count_call(Do(work), (1, 16, 10, 10))
    assert beyond_flops(counted) == (operations, 4 * elements)


def test_norms_read_and_write_the_map_and_convolutions_are_left_out():
    model = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16))
    counted = count_call(model, (1, 16, 10, 10))
    assert beyond_flops(counted.by_module["0"]) == (0, 0)
    assert beyond_flops(counted.by_module["1"]) == (N, 4 * (2 * N + 4 * 16))
    assert beyond_flops(counted) == beyond_flops(counted.by_module["1"])


def test_modules_hold_what_their_children_do():
    model = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Sigmoid()), nn.Tanh())
    parts = count_call(model, (1, 16, 10, 10)).by_module
    assert parts["0"].cost == parts["0.0"].cost + parts["0.1"].cost
    assert parts[""].cost == parts["0"].cost + parts["1"].cost
    assert parts[""].cost.times(2) - parts[""].cost == parts[""].cost
    assert parts[""].cost.gate_bytes > 0
