import pytest
import torch

from attn_inject.attention.splat import SplitAttention
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, layer, means, rectified


def formula_of(radix: int):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        c = x.shape[1]
        u = rectified(batch_norm(tensors, "bn0", layer(tensors, "conv", x, groups=radix), training))
        u = u.reshape(x.shape[0], radix, *x.shape[1:])
        z = rectified(batch_norm(tensors, "bn1", layer(tensors, "fc1", means(u.sum(1))), training))
        scores = torch.exp(layer(tensors, "fc2", z)).reshape(-1, radix, c)
        return torch.einsum("nrchw,nrc->nchw", u, scores / scores.sum(1, keepdim=True))

    return formula


@pytest.mark.parametrize("radix", [2, 4])
def test_agrees_with_its_formula(radix):
    assert_agrees(SplitAttention(8, radix=radix), formula_of(radix), (3, 8, 5, 4))


@pytest.mark.parametrize("radix", [1, 3, 0])
def test_refuses_splits_that_do_not_divide(radix):
    with pytest.raises(ValueError, match=f"SplitAttention: radix={radix} is not accepted"):
        SplitAttention(8, radix=radix)
