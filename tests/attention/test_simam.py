import pytest
import torch

from attn_inject.attention.simam import SimAM
from tests.attention.agreement import Tensors, assert_agrees, logistic, means


def formula_of(regularization: float):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        d = (x - means(x)[:, :, None, None]) ** 2
        v = d.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
        return x * logistic(d / (4 * (v + regularization)) + 0.5)

    return formula


@pytest.mark.parametrize("regularization", [1e-4, 0.5])
def test_agrees_with_its_formula(regularization):
    assert_agrees(SimAM(6, regularization=regularization), formula_of(regularization), (3, 6, 5, 4))


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan"), True])
def test_refuses_a_regularization_that_is_none(value):
    with pytest.raises(ValueError, match=r"SimAM: regularization=.* is a finite number above 0"):
        SimAM(6, regularization=value)
