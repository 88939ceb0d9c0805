import pytest
import torch

from attn_inject.attention.epsa import EPSA
from tests.attention.agreement import Tensors, assert_agrees, layer, logistic, means, rectified


def formula_of(groups: tuple[int, ...]):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        u = [layer(tensors, f"convs.{at}", x, groups=number) for at, number in enumerate(groups)]
        hidden = [rectified(layer(tensors, "fc1", means(part))) for part in u]
        gates = [torch.exp(logistic(layer(tensors, "fc2", h))) for h in hidden]
        total = sum(gates)
        weighed = [
            torch.einsum("nchw,nc->nchw", part, gate / total) for part, gate in zip(u, gates, strict=True)
        ]
        return torch.cat([weighed[3], weighed[2], weighed[1], weighed[0]], 1)

    return formula


@pytest.mark.parametrize(("groups", "each"), [(16, (1, 4, 8, 16)), (4, (1, 1, 2, 4))])
def test_agrees_with_its_formula(groups, each):
    assert_agrees(EPSA(64, reduction=4, groups=groups), formula_of(each), (2, 64, 4, 3))


@pytest.mark.parametrize(("channels", "served"), [(64, 16), (96, 8), (24, 2), (4, 1)])
def test_adapts_to_the_largest_power_of_two(channels, served):
    assert EPSA.adapt(channels, {"reduction": 16, "groups": 16})["groups"] == served
    EPSA(channels, groups=served)
    if served != 16:
        with pytest.raises(ValueError, match="EPSA: groups=16 is not accepted; groups is a power of 2"):
            EPSA(channels)


def test_refuses_channels_that_are_not_quarters():
    with pytest.raises(ValueError, match="channels=6 is not accepted; it takes a multiple of 4"):
        EPSA(6)
