import pytest
import torch

from attn_inject.attention.danet import ChannelAttention, PositionAttention
from tests.attention.agreement import Tensors, assert_agrees, layer


def over_positions(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    q, k, v = (layer(tensors, name, x).flatten(2) for name in ("query", "key", "value"))
    found = []
    for at in range(q.shape[2]):
        likely = torch.exp(torch.einsum("nc,ncj->nj", q[:, :, at], k))
        found.append(torch.einsum("nj,ncj->nc", likely / likely.sum(1, keepdim=True), v))
    return x + tensors["gamma"] * torch.stack(found, 2).reshape(x.shape)


def over_channels(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    rows, found = x.flatten(2), []
    for channel in range(x.shape[1]):
        alike = torch.einsum("nl,ndl->nd", rows[:, channel], rows)
        unlike = torch.exp(alike.max(1, keepdim=True).values - alike)
        found.append(torch.einsum("nd,ndl->nl", unlike / unlike.sum(1, keepdim=True), rows))
    return x + tensors["gamma"] * torch.stack(found, 1).reshape(x.shape)


def test_agrees_with_its_formula():
    assert_agrees(PositionAttention(8, reduction=4), over_positions, (3, 8, 5, 4))
    assert_agrees(ChannelAttention(6), over_channels, (3, 6, 5, 4))


@pytest.mark.parametrize("kind", [PositionAttention, ChannelAttention])
def test_starts_as_the_identity(kind):
    x = torch.randn(2, 16, 5, 4)
    assert torch.equal(kind(16)(x), x)
