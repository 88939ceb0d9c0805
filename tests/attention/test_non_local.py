import pytest
import torch

from attn_inject.attention.non_local import NonLocal, halve
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, layer


def formula_of(pool: bool, scale: bool):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        theta, phi, g = (layer(tensors, name, x) for name in ("theta", "phi", "g"))
        if pool:
            phi, g = pooled(phi), pooled(g)
        root = theta.shape[1] ** 0.5 if scale else 1
        likeness = torch.exp(torch.einsum("nchw,ncij->nhwij", theta, phi) / root)
        weights = likeness / likeness.sum((3, 4), keepdim=True)
        u = torch.einsum("nhwij,ncij->nchw", weights, g)
        return x + batch_norm(tensors, "bn", layer(tensors, "out", u), training)

    return formula


def pooled(x: torch.Tensor) -> torch.Tensor:
    h, w = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    corners = [x[:, :, row:h:2, column:w:2] for row in (0, 1) for column in (0, 1)]
    return torch.stack(corners).max(0).values


@pytest.mark.parametrize(("pool", "scale"), [(True, True), (False, True), (True, False)])
def test_agrees_with_its_formula(pool, scale):
    module = NonLocal(6, pool=pool, scale=scale)
    for conv in (module.theta, module.phi, module.g, module.out):
        torch.nn.init.normal_(conv.weight)
    assert_agrees(module, formula_of(pool, scale), (2, 6, 5, 4))


def test_starts_as_the_identity():
    x = torch.randn(2, 8, 5, 4)
    module = NonLocal(8)
    assert torch.equal(module(x), x)
    assert module.theta.weight.std().item() == pytest.approx(0.01, rel=0.4)


@pytest.mark.parametrize(
    ("size", "halved"), [((6, 4), (3, 2)), ((7, 5), (3, 2)), ((1, 4), (1, 2)), ((1, 1), (1, 1))]
)
def test_a_side_of_one_position_is_not_pooled(size, halved):
    assert halve(torch.randn(1, 2, *size)).shape[2:] == halved


def test_the_bias_that_a_softmax_does_not_see_is_counted_and_does_not_learn():
    module = NonLocal(8)
    assert [name for name, p in module.named_parameters() if not p.requires_grad] == ["phi.bias"]
    assert not module.phi.bias.any()
