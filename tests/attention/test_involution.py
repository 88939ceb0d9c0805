import pytest
import torch

from attn_inject.attention import windows
from attn_inject.attention.involution import Involution
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, layer, padded, rectified


def windowed(x: torch.Tensor, weights: torch.Tensor, of_channel) -> torch.Tensor:
    """The sum over each window, one channel and offset at a time; `of_channel` says which weights it has."""
    size, (h, w) = int(weights.shape[2] ** 0.5), x.shape[2:]
    wider, channels = padded(x, size // 2), []
    for channel in range(x.shape[1]):
        total = torch.zeros_like(x[:, 0])
        for at in range(size * size):
            a, b = divmod(at, size)
            total = total + weights[:, of_channel(channel), at] * wider[:, channel, a : a + h, b : b + w]
        channels.append(total)
    return torch.stack(channels, 1)


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    hidden = rectified(batch_norm(tensors, "bn", layer(tensors, "reduce", x), training))
    kernels = layer(tensors, "span", hidden)
    kernels = kernels.reshape(x.shape[0], 2, -1, *x.shape[2:])
    return windowed(x, kernels, lambda channel: channel // 4)


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_agrees_with_its_formula(kernel_size):
    module = Involution(8, kernel_size=kernel_size, group_channels=4)
    assert_agrees(module, formula, (3, 8, 5, 4))


def test_an_exported_window_is_the_same():
    values, weights = torch.randn(2, 3, 4, 6, 5), torch.randn(2, 3, 1, 9, 6, 5)
    copied = (windows.unfolded(values, 3) * weights).sum(3)
    torch.testing.assert_close(windows.weighed(values, weights), copied)


def test_what_is_kept_for_the_gradient_is_far_below_the_unfolded_windows():
    kept: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    module, x = Involution(64), torch.randn(1, 64, 14, 14, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        module(x)
    assert sum(kept.values()) < 49 * x.numel() / 4
