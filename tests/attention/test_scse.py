import pytest
import torch

from attn_inject.attention.scse import ScSE
from tests.attention.agreement import Tensors, assert_agrees, layer, logistic, means, rectified


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    s = logistic(layer(tensors, "fc2", rectified(layer(tensors, "fc1", means(x)))))
    q = logistic(layer(tensors, "position", x)[:, 0])
    return torch.einsum("nchw,nc->nchw", x, s) + torch.einsum("nchw,nhw->nchw", x, q)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"reduction": 4}])
def test_agrees_with_its_formula(options):
    assert_agrees(ScSE(8, **options), formula, (3, 8, 5, 4))
