import pytest
import torch

from attn_inject.attention.eca import ECA, kernel_size_for
from tests.attention.agreement import Tensors, assert_agrees, logistic


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    kernel = tensors["conv.weight"][0, 0]
    z = x.sum((2, 3)) / (x.shape[2] * x.shape[3])  # (N, C)
    gates = []
    for channel in range(x.shape[1]):
        total = torch.zeros(x.shape[0], dtype=x.dtype)
        for offset, weight in enumerate(kernel):
            neighbour = channel + offset - len(kernel) // 2
            if 0 <= neighbour < x.shape[1]:
                total = total + weight * z[:, neighbour]
        gates.append(logistic(total))
    return torch.einsum("nchw,nc->nchw", x, torch.stack(gates, 1))


@pytest.mark.parametrize("options", [{}, {"kernel_size": 1}, {"kernel_size": 7}])
def test_agrees_with_its_formula(options):
    assert_agrees(ECA(12, **options), formula, (2, 12, 5, 3))


@pytest.mark.parametrize(
    ("channels", "size"),
    [(1, 1), (8, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)],
)
def test_the_kernel_grows_with_the_channels(channels, size):
    assert kernel_size_for(channels) == size
    assert ECA(channels).conv.kernel_size == (size,)
