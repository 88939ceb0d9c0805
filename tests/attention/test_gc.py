import pytest
import torch

from attn_inject.attention.factory import create_attention
from attn_inject.attention.gc import GC
from tests.attention.agreement import Tensors, assert_agrees, layer, randomize, rectified


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    likely = torch.exp(layer(tensors, "mask", x)[:, 0])
    alpha = likely / likely.sum((1, 2), keepdim=True)
    hidden = layer(tensors, "fc1", torch.einsum("nchw,nhw->nc", x, alpha))
    hidden = hidden - hidden.sum(1, keepdim=True) / hidden.shape[1]
    spread = torch.sqrt(hidden.square().sum(1, keepdim=True) / hidden.shape[1] + 1e-5)
    gain, shift = tensors["norm.weight"], tensors["norm.bias"]
    hidden = rectified(hidden / spread * gain + shift)
    return x + layer(tensors, "fc2", hidden)[:, :, None, None]


def test_agrees_with_its_formula():
    assert_agrees(GC(12, reduction=3), formula, (3, 12, 5, 4))


def test_starts_as_the_identity():
    x = torch.randn(2, 32, 5, 4)
    assert torch.equal(GC(32)(x), x)


def test_the_bias_that_a_softmax_does_not_see_is_counted_and_does_not_learn():
    module = GC(32)
    assert [name for name, p in module.named_parameters() if not p.requires_grad] == ["mask.bias"]
    assert not module.mask.bias.any()


@pytest.mark.parametrize(("channels", "served"), [(256, 16), (48, 16), (40, 13), (16, 5), (3, 1), (2, 1)])
def test_adapts_to_the_largest_reduction_that_leaves_three_hidden_channels(channels, served):
    assert GC.adapt(channels, {"reduction": 16}) == {"reduction": served}


@pytest.mark.parametrize("channels", [8, 16, 24, 40])
def test_learns_where_channels_are_few(channels):
    module = create_attention("gc", channels=channels)
    randomize(module)
    module(torch.randn(4, channels, 5, 4)).square().sum().backward()
    assert module.mask.weight.grad.abs().max() > 1e-3
