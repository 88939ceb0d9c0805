import pytest
import torch

from attn_inject.attention.a2 import A2
from tests.attention.agreement import Tensors, assert_agrees, layer


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    a, b, v = (layer(tensors, name, x) for name in ("features", "gather", "hand_out"))
    b = torch.exp(b) / torch.exp(b).sum((2, 3), keepdim=True)
    v = torch.exp(v) / torch.exp(v).sum(1, keepdim=True)
    z = torch.einsum("npij,nmij,nmhw->nphw", a, b, v)
    return x + layer(tensors, "out", z)


@pytest.mark.parametrize("reduction", [4, 2])
def test_agrees_with_its_formula(reduction):
    assert_agrees(A2(8, reduction=reduction), formula, (3, 8, 5, 4))
