import pytest
import torch
from torch import nn

from attn_inject.attention.ca import CA
from attn_inject.attention.nam import NAM, NAMChannel, NAMSpatial, share, sparsity_penalty
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, logistic


def channel_formula(tensors: Tensors, x: torch.Tensor, training: bool, name: str = "bn") -> torch.Tensor:
    gamma = tensors[f"{name}.weight"].detach()
    weights = [abs(value) / sum(abs(other) for other in gamma) for value in gamma]
    normed = batch_norm(tensors, name, x, training)
    return torch.stack([x[:, c] * logistic(weights[c] * normed[:, c]) for c in range(x.shape[1])], 1)


def spatial_formula(tensors: Tensors, x: torch.Tensor, training: bool, name: str = "bn") -> torch.Tensor:
    n, c, h, w = x.shape
    gamma = tensors[f"{name}.weight"].detach()
    weights = torch.stack([abs(value) / sum(abs(other) for other in gamma) for value in gamma])
    pixels = torch.stack([x[:, :, row, column] for row in range(h) for column in range(w)], 1)  # (N, P, C)
    normed = batch_norm(tensors, name, pixels, training)
    gates = logistic(torch.einsum("p,npc->npc", weights, normed))
    return torch.einsum("npc,npc->ncp", pixels, gates).reshape(n, c, h, w)


def both_formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    return spatial_formula(
        tensors, channel_formula(tensors, x, training, "channel.bn"), training, "spatial.bn"
    )


@pytest.mark.parametrize(
    ("module", "formula"),
    [
        (NAMChannel(7), channel_formula),
        (NAMSpatial(7, size=(4, 3)), spatial_formula),
        (NAM(7, size=(4, 3)), both_formula),
    ],
    ids=["channel", "spatial", "both"],
)
def test_agrees_with_its_formula(module, formula):
    assert_agrees(module, formula, (3, 7, 4, 3))


@pytest.mark.parametrize(
    ("scale", "expected"),
    [([1.0, 1.0], [0.5, 0.5]), ([3.0, -1.0], [0.75, 0.25]), ([0.0, 0.0], [0.0, 0.0])],
)
def test_the_share_of_a_scale_is_taken_of_its_size(scale, expected):
    assert share(torch.tensor(scale)).tolist() == expected


def test_no_gradient_runs_through_the_share():
    scale = torch.ones(3, requires_grad=True)
    assert not share(scale).requires_grad


@pytest.mark.parametrize("kind", [NAM, NAMSpatial])
def test_another_size_is_refused_in_one_line(kind):
    module = kind(8, size=(4, 3))
    with pytest.raises(ValueError, match="was built for maps of 4x3 positions, and got 3x4"):
        module(torch.randn(2, 8, 3, 4))


@pytest.mark.parametrize("size", [(4,), (4, 0), (4, 3, 2)])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match=r"size is \(H, W\), two whole numbers from 1"):
        NAMSpatial(8, size=size)


def test_the_penalty_is_the_sum_of_the_attention_norms_scales():
    attention = nn.Sequential(NAMChannel(4), NAM(4, size=(3, 2)))
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), CA(4), attention)
    with torch.no_grad():
        attention[0].bn.weight.copy_(torch.tensor([1.0, -2.0, 3.0, 0.5]))
    penalty = sparsity_penalty(model, weight=0.1)
    assert penalty.item() == pytest.approx(0.1 * (6.5 + 4 + 6))
    penalty.backward()
    torch.testing.assert_close(attention[0].bn.weight.grad, torch.tensor([0.1, -0.1, 0.1, 0.1]))
    assert model[1].weight.grad is None


def test_the_penalty_of_a_model_without_nam_is_nothing():
    assert sparsity_penalty(nn.BatchNorm2d(4), weight=1.0).item() == 0


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_penalty_that_is_none_is_refused(weight):
    with pytest.raises(ValueError, match=r"sparsity_penalty: weight=.* give a number from 0"):
        sparsity_penalty(NAMChannel(4), weight)
