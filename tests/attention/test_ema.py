import pytest
import torch

from attn_inject.attention.ema import EMA
from tests.attention.agreement import Tensors, assert_agrees, conv2d, group_norm, logistic, means


def formula_of(groups: int):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        width, gated = x.shape[1] // groups, []
        for first in range(0, x.shape[1], width):
            gated.append(one_group(tensors, x[:, first : first + width]))
        return torch.cat(gated, 1)

    return formula


def one_group(tensors: Tensors, x: torch.Tensor) -> torch.Tensor:
    def strip(z: torch.Tensor) -> torch.Tensor:
        mixed = torch.einsum("ncl,dc->ndl", z, tensors["strip.weight"][:, :, 0])
        return logistic(mixed + tensors["strip.bias"][None, :, None])

    n, k, h, w = x.shape
    gates = strip(x.sum(3) / w)[:, :, :, None] * strip(x.sum(2) / h)[:, :, None]
    p = group_norm((x * gates).reshape(n, k, h * w), k, tensors["norm.weight"], tensors["norm.bias"])
    p = p.reshape(n, k, h, w)
    q = conv2d(x, tensors["conv.weight"], tensors["conv.bias"])
    a = torch.einsum("nc,nchw->nhw", share(means(p)), q) + torch.einsum("nc,nchw->nhw", share(means(q)), p)
    return x * logistic(a)[:, None]


def share(scores: torch.Tensor) -> torch.Tensor:
    return torch.exp(scores) / torch.exp(scores).sum(1, keepdim=True)


@pytest.mark.parametrize(("channels", "groups"), [(8, 2), (6, 1)])
def test_agrees_with_its_formula(channels, groups):
    assert_agrees(EMA(channels, groups=groups), formula_of(groups), (2, channels, 5, 4))


@pytest.mark.parametrize(("channels", "served"), [(64, 32), (48, 24), (7, 7)])
def test_adapts_to_the_largest_number_of_groups_that_divides(channels, served):
    assert EMA.adapt(channels, {"groups": 32}) == {"groups": served}
