import torch

from attn_inject.attention.lka import LKA
from tests.attention.agreement import Tensors, assert_agrees, layer


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    near = layer(tensors, "near", x, groups=x.shape[1])
    far = layer(tensors, "far", near, groups=x.shape[1], dilation=3)
    return x * layer(tensors, "mix", far)


def test_agrees_with_its_formula():
    assert_agrees(LKA(4), formula, (2, 4, 13, 12))


def test_a_position_sees_eleven_positions_to_each_side():
    x = torch.zeros(1, 1, 27, 27, requires_grad=True)
    (LKA(1)(x + 1)[0, 0, 13, 13]).backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero()
    assert (rows.min().item(), rows.max().item()) == (2, 24)
