import pytest
import torch

from attn_inject.attention.spm import SPM
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, conv1d, layer, logistic, rectified


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    def strip(name: str, z: torch.Tensor) -> torch.Tensor:
        return batch_norm(tensors, f"{name}.1", conv1d(z, tensors[f"{name}.0.weight"]), training)

    rows, columns = strip("rows", x.sum(3) / x.shape[3]), strip("columns", x.sum(2) / x.shape[2])
    u = torch.stack([rows[:, :, [at]] + columns for at in range(x.shape[2])], 2)
    return x * logistic(layer(tensors, "mix", rectified(u)))


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_agrees_with_its_formula(kernel_size):
    assert_agrees(SPM(4, kernel_size=kernel_size), formula, (3, 4, 5, 4))
