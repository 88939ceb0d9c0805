import torch

from attn_inject.attention.srm import SRM
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, logistic, means


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    mean = means(x)
    std = torch.sqrt(means((x - mean[:, :, None, None]) ** 2) + 1e-5)
    z = torch.einsum("ncj,cj->nc", torch.stack([mean, std], 2), tensors["weight"])
    return torch.einsum("nchw,nc->nchw", x, logistic(batch_norm(tensors, "bn", z, training)))


def test_agrees_with_its_formula():
    assert_agrees(SRM(6), formula, (4, 6, 5, 4))


def test_starts_with_the_gates_at_one_half():
    x = torch.randn(3, 6, 5, 4)
    torch.testing.assert_close(SRM(6)(x), x / 2)
