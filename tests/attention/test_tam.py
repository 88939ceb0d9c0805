import pytest
import torch

from attn_inject.attention.tam import TAM
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, layer, logistic


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    y = torch.zeros_like(x)
    for name, axis in (("over_channels", 1), ("over_rows", 2), ("over_columns", 3)):
        slices = x.unbind(axis)
        peak = torch.stack(slices).max(0).values
        mean = sum(slices) / len(slices)
        plane = layer(tensors, f"{name}.0", torch.stack([peak, mean], 1))
        gate = logistic(batch_norm(tensors, f"{name}.1", plane, training))[:, 0]
        y = y + torch.stack([part * gate for part in slices], axis)
    return y / 3


@pytest.mark.parametrize("kernel_size", [7, 3])
def test_agrees_with_its_formula(kernel_size):
    assert_agrees(TAM(6, kernel_size=kernel_size), formula, (3, 6, 5, 4))


def test_its_norms_move_slowly():
    assert {module.momentum for module in TAM(6).modules() if hasattr(module, "momentum")} == {0.01}
