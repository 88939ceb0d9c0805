import pytest
import torch

from attn_inject.attention.sge import SGE
from tests.attention.agreement import Tensors, assert_agrees, logistic, means


def formula_of(groups: int):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        width, z, gated = x.shape[1] // groups, means(x), []
        for group in range(groups):
            own = slice(group * width, (group + 1) * width)
            a = torch.einsum("nchw,nc->nhw", x[:, own], z[:, own])
            a = a - means(a[:, None])[:, :, None]
            std = torch.sqrt(a.square().sum((1, 2)) / (a[0].numel() - 1))[:, None, None]
            t = tensors["weight"][group] * a / (std + 1e-5) + tensors["bias"][group]
            gated.append(x[:, own] * logistic(t)[:, None])
        return torch.cat(gated, 1)

    return formula


@pytest.mark.parametrize(("channels", "groups"), [(12, 4), (6, 1), (6, 6)])
def test_agrees_with_its_formula(channels, groups):
    assert_agrees(SGE(channels, groups=groups), formula_of(groups), (3, channels, 4, 3))


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", [(2, 8, 5, 4), (2, 8, 1, 1)])
def test_a_flat_map_has_a_gradient(kind, shape):
    x = torch.zeros(shape, dtype=kind, requires_grad=True)
    SGE(8, groups=4).to(kind)(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.full_like(x, torch.sigmoid(torch.tensor(1.0)).item()))


@pytest.mark.parametrize(("channels", "served"), [(256, 64), (48, 48), (144, 48), (7, 7), (67, 1)])
def test_adapts_to_the_largest_number_of_groups_that_divides(channels, served):
    assert SGE.adapt(channels, {"groups": 64}) == {"groups": served}
    SGE(channels, groups=served)
