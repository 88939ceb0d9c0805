import pytest
import torch

from attn_inject.attention.ca import CA
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, logistic


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    def mix(name: str, z: torch.Tensor) -> torch.Tensor:
        weight, bias = tensors[f"{name}.weight"][:, :, 0], tensors[f"{name}.bias"]
        return torch.einsum("dc,ncl->ndl", weight, z) + bias[None, :, None]

    rows, columns = x.shape[2], x.shape[3]
    z_h = torch.stack([x[:, :, row].sum(2) / columns for row in range(rows)], 2)
    z_w = torch.stack([x[:, :, :, column].sum(2) / rows for column in range(columns)], 2)
    f = batch_norm(tensors, "bn", mix("conv", torch.cat([z_h, z_w], 2)), training)
    f = f * torch.clamp(f + 3, 0, 6) / 6
    a_h, a_w = logistic(mix("conv_h", f[:, :, :rows])), logistic(mix("conv_w", f[:, :, rows:]))
    return torch.einsum("nchw,nch,ncw->nchw", x, a_h, a_w)


@pytest.mark.parametrize(("channels", "reduction"), [(16, 32), (20, 2)])
def test_agrees_with_its_formula(channels, reduction):
    assert_agrees(CA(channels, reduction=reduction), formula, (3, channels, 5, 4))


@pytest.mark.parametrize(("channels", "hidden"), [(16, 8), (256, 8), (288, 9), (2048, 64)])
def test_has_at_least_eight_hidden_channels(channels, hidden):
    assert CA(channels).conv.out_channels == hidden
