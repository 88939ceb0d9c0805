import pytest
import torch

from attn_inject.attention.sk import SK
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, layer, means, rectified


def formula_of(groups: int):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        u = []
        for name, dilation in (("narrow", 1), ("wide", 2)):
            convolved = layer(tensors, f"{name}.0", x, groups=groups, dilation=dilation)
            u.append(rectified(batch_norm(tensors, f"{name}.1", convolved, training)))
        z = rectified(batch_norm(tensors, "bn", layer(tensors, "fc", means(u[0] + u[1])), training))
        scores = torch.exp(layer(tensors, "select", z))
        first, second = scores[:, : x.shape[1]], scores[:, x.shape[1] :]
        a = (first / (first + second))[:, :, None, None]
        return a * u[0] + (1 - a) * u[1]

    return formula


@pytest.mark.parametrize("groups", [1, 4])
def test_agrees_with_its_formula(groups):
    assert_agrees(SK(8, groups=groups), formula_of(groups), (3, 8, 5, 4))


@pytest.mark.parametrize(("channels", "hidden"), [(64, 32), (512, 32), (1024, 64)])
def test_has_at_least_thirty_two_hidden_channels(channels, hidden):
    assert SK(channels).fc.out_channels == hidden
