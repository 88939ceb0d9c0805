import pytest
import torch

from attn_inject.attention.cbam import CBAM
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, logistic


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    def mlp(z: torch.Tensor) -> torch.Tensor:
        hidden = z @ tensors["fc1.weight"][:, :, 0, 0].T + tensors.get("fc1.bias", torch.zeros(()))
        hidden = torch.where(hidden > 0, hidden, torch.zeros_like(hidden))
        return hidden @ tensors["fc2.weight"][:, :, 0, 0].T + tensors.get("fc2.bias", torch.zeros(()))

    n, c, h, w = x.shape
    mean = x.sum((2, 3)) / (h * w)
    peak = torch.stack([torch.stack([channel.max() for channel in sample]) for sample in x])
    x = torch.einsum("nchw,nc->nchw", x, logistic(mlp(mean) + mlp(peak)))

    pooled = torch.stack([torch.stack(list(x.unbind(1))).max(0).values, x.sum(1) / c], 1)  # (N, 2, H, W)
    kernel = tensors["conv.weight"][0]  # (2, k, k)
    k = kernel.shape[1]
    padded = torch.zeros(n, 2, h + k - 1, w + k - 1, dtype=x.dtype)
    padded[:, :, k // 2 : k // 2 + h, k // 2 : k // 2 + w] = pooled
    rows = [
        [(padded[:, :, row : row + k, column : column + k] * kernel).sum((1, 2, 3)) for column in range(w)]
        for row in range(h)
    ]
    m = torch.stack([torch.stack(row, 1) for row in rows], 1)[:, None]  # (N, 1, H, W)
    return x * logistic(batch_norm(tensors, "bn", m, training))


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"reduction": 4, "kernel_size": 3}])
def test_agrees_with_its_formula(options):
    assert_agrees(CBAM(16, **options), formula, (3, 16, 5, 4))


def test_the_spatial_gate_starts_at_one_half():
    module = CBAM(16)
    assert not module.bn.weight.any()
    assert module.bn.momentum == 0.01
