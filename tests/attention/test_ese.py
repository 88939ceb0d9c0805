import torch

from attn_inject.attention.ese import ESE
from tests.attention.agreement import Tensors, assert_agrees, layer, means


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    z = layer(tensors, "fc", means(x))
    gate = torch.where(z <= -3, 0 * z, torch.where(z >= 3, 0 * z + 1, (z + 3) / 6))
    return torch.einsum("nchw,nc->nchw", x, gate)


def test_agrees_with_its_formula():
    assert_agrees(ESE(6), formula, (4, 6, 5, 4))
