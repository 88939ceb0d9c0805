import pytest
import torch

from attn_inject.attention.factory import create_attention
from attn_inject.attention.ge import GETheta, GEThetaMinus, GEThetaPlus
from attn_inject.errors import FitError
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, layer, logistic, means, rectified

SIZE = (9, 6)


def upsampled(u: torch.Tensor) -> torch.Tensor:
    h, w = SIZE
    rows = [row * u.shape[2] // h for row in range(h)]
    columns = [column * u.shape[3] // w for column in range(w)]
    return u[:, :, rows][:, :, :, columns]


def averaged(x: torch.Tensor, extent: int) -> torch.Tensor:
    """Means over windows of 2 e - 1 around every e-th position, as much of them as lies on the map."""
    (h, w), reach = x.shape[2:], extent - 1
    rows = [
        [
            means(x[:, :, max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1])
            for j in range(0, w, extent)
        ]
        for i in range(0, h, extent)
    ]
    return torch.stack([torch.stack(row, 2) for row in rows], 2)


def minus_of(extent: int | str):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        u = means(x)[:, :, None, None] if extent == "global" else averaged(x, int(extent))
        return x * logistic(upsampled(u))

    return formula


def theta_of(extent: int | str, plus: bool, relu: bool = True):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        u = x
        if extent == "global":
            u = torch.einsum("nchw,chw->nc", x, tensors["gather.conv.weight"][:, 0])[:, :, None, None]
            u = batch_norm(tensors, "gather.bn", u, training)
        else:
            for at in range({2: 1, 4: 2, 8: 3}[int(extent)]):
                u = layer(tensors, f"gather.{2 * at}", u, groups=x.shape[1], stride=2)
                u = batch_norm(tensors, f"gather.{2 * at + 1}", u, training)
                if relu and 2 ** (at + 1) < int(extent):
                    u = rectified(u)
        if plus:
            u = layer(tensors, "fc2", rectified(layer(tensors, "fc1", rectified(u))))
        return x * logistic(upsampled(u))

    return formula


@pytest.mark.parametrize("extent", ["global", 2, 4, 8])
def test_agrees_with_its_formula(extent):
    size = SIZE if extent == "global" else None
    shape = (3, 4, *SIZE)
    assert_agrees(GEThetaMinus(4, extent=extent), minus_of(extent), shape)
    assert_agrees(GETheta(4, extent=extent, size=size), theta_of(extent, plus=False), shape)
    plus = GEThetaPlus(4, extent=extent, reduction=2, size=size)
    assert_agrees(plus, theta_of(extent, plus=True), shape)


def test_without_the_inner_relu_it_agrees_and_has_the_same_keys():
    bare = GETheta(4, extent=8, relu=False)
    assert_agrees(bare, theta_of(8, plus=False, relu=False), (3, 4, *SIZE))
    assert bare.state_dict().keys() == GETheta(4, extent=8).state_dict().keys()


@pytest.mark.parametrize("extent", [1, 3, "C", True, 16])
@pytest.mark.parametrize("kind", [GEThetaMinus, GETheta, GEThetaPlus])
def test_refuses_other_extents(kind, extent):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: extent={extent} .* `global`, 2, 4 or 8"):
        kind(4, extent=extent)


@pytest.mark.parametrize("name", ["ge-theta", "ge-theta-plus"])
def test_only_the_whole_map_needs_its_size(name):
    with pytest.raises(FitError, match="size=None is not accepted"):
        create_attention(name, channels=4)
    assert create_attention(f"{name}:extent=4", channels=4)(torch.randn(2, 4, 7, 5)).shape == (2, 4, 7, 5)
    fixed = create_attention(name, channels=4, size=(7, 5))
    with pytest.raises(ValueError, match="was built for maps of 7x5 positions, and got 5x7"):
        fixed(torch.randn(2, 4, 5, 7))


@pytest.mark.parametrize(("extent", "acts_on"), [("global", "channel"), (2, "spatial")])
def test_it_gates_channels_only_over_the_whole_map(extent, acts_on):
    assert GEThetaMinus(4, extent=extent).acts_on == acts_on
    assert GETheta(4, extent=extent, size=SIZE).acts_on == acts_on
