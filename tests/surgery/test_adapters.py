"""Every layout against a loop over samples, frames and tokens."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attn_inject.attention.factory import create_attention
from attn_inject.errors import ModelError
from attn_inject.surgery.adapters import TokenGrid, in_layout
from attn_inject.surgery.inserted import AttnInject

C, H, W = 8, 4, 6


@pytest.fixture(params=["se:reduction=2", "sa:groups=2", "ca:reduction=2"])
def attention(request):
    """A channel gate, a spatial one, and one that does not treat rows as it treats columns."""
    torch.manual_seed(0)
    module = create_attention(request.param, channels=C).eval()
    for parameter in module.parameters():
        torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return module


@torch.no_grad()
def test_nhwc(attention):
    x = torch.randn(2, H, W, C)
    expected = torch.stack([attention(s.permute(2, 0, 1)[None])[0].permute(1, 2, 0) for s in x])
    assert torch.allclose(in_layout("NHWC", attention, x, None), expected, atol=1e-6)


@torch.no_grad()
def test_ncdhw_works_on_each_frame(attention):
    x = torch.randn(2, C, 3, H, W)
    expected = torch.stack([attention(x[:, :, t]) for t in range(3)], dim=2)
    assert torch.allclose(in_layout("NCDHW", attention, x, None), expected, atol=1e-6)
    last = in_layout("NDHWC", attention, x.permute(0, 2, 3, 4, 1), None)
    assert torch.allclose(last, expected.permute(0, 2, 3, 4, 1), atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens(attention, prefix):
    x = torch.randn(2, prefix + H * W, C)
    field = torch.zeros(2, C, H, W)
    for row in range(H):
        for column in range(W):
            field[:, :, row, column] = x[:, prefix + row * W + column]
    gated = attention(field)
    expected = x.clone()
    for row in range(H):
        for column in range(W):
            expected[:, prefix + row * W + column] = gated[:, :, row, column]
    if attention.acts_on == "channel" and prefix:
        gate = attention.gate(field)[:, :, 0, 0]
        expected[:, :prefix] = x[:, :prefix] * gate[:, None]
    out = in_layout("NLC", attention, x, TokenGrid(H, W, prefix))
    assert torch.allclose(out, expected, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("prefix", [0, 1])
def test_a_channel_gate_serves_tokens_that_form_no_grid(prefix):
    """Patch dropout leaves some of the tokens, and dynamic images have another aspect."""
    gate, spatial = (create_attention(name, channels=C).eval() for name in ("se:reduction=2", "sa:groups=2"))
    x, grid = torch.randn(2, prefix + 50, C), TokenGrid(10, 10, prefix)
    scale = gate.gate(x[:, prefix:].transpose(1, 2)[..., None])[..., 0, 0]  # (N, C)
    assert torch.allclose(in_layout("NLC", gate, x, grid), x * scale[:, None], atol=1e-6)
    with pytest.raises(ModelError, match="50 tokens are not a grid"):
        in_layout("NLC", spatial, x, grid)


def test_grids():
    assert TokenGrid(14, 14).size(196) == (14, 14)
    assert TokenGrid(14, 14).size(324) == (18, 18)
    assert TokenGrid(10, 20).size(800) == (20, 40)
    assert TokenGrid(None, None).size(7) == (7, 1)
    assert TokenGrid(14, 19).size(588) == (21, 28)  # 224x304 and 336x448 pixels, 16 a token
    for tokens in (197, 182, 156, 210):  # 182 is 13x14 or 14x13, and nothing says which
        with pytest.raises(ModelError, match=f"{tokens} tokens are not a grid"):
            TokenGrid(14, 14).size(tokens)


def test_identity_start_in_half_precision_and_its_first_gradient():
    torch.manual_seed(0)
    module = AttnInject(create_attention("se", channels=32), identity=True)
    x = torch.randn(2, 32, 4, 4)
    assert torch.equal(module(x), x)
    with torch.autocast("cpu", torch.bfloat16):
        half = x.bfloat16()
        assert torch.equal(module(half), half)
        assert module(half).dtype == torch.bfloat16
    module(x).square().sum().backward()
    gradients = {name: p.grad for name, p in module.named_parameters()}
    assert gradients.pop("alpha").abs().item() > 0
    assert not any(gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize(
    "image",
    [
        torch.randn(1, 64, 32).transpose(1, 2).reshape(1, 32, 8, 8),
        torch.randn(4, 32, 1, 1).to(memory_format=torch.channels_last),
        torch.randn(2, 32, 8, 8).to(memory_format=torch.channels_last),
    ],
)
def test_the_identity_keeps_the_strides_by_which_kernels_are_chosen(image):
    module = AttnInject(create_attention("se", channels=32), identity=True)
    output = module(image)
    assert output.stride() == image.stride()
    assert torch.equal(output, image)
    names = [str(node.target) for node in torch.fx.symbolic_trace(nn.Sequential(module)).graph.nodes]
    assert any("_like" in name for name in names)
