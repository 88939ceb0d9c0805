"""The axis of the channels is told by the layers that made a tensor, never by comparing numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attn_inject import inject
from attn_inject.models.inputs import InputSpec
from attn_inject.sites.finder import find

SIDE = 32  # also the number of channels


class GatedByLinears(nn.Module):
    """A convolutional block that ends with a gate of linear layers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(SIDE, SIDE, 3, padding=1)
        self.gate = nn.Sequential(nn.Linear(SIDE, 4), nn.ReLU(), nn.Linear(4, SIDE), nn.Sigmoid())

    def forward(self, x):
        branch = self.conv(x)
        return x + branch * self.gate(branch.mean((2, 3)))[:, :, None, None]


class Last(nn.Module):
    """A block of linear layers on (N, H, W, C)."""

    def __init__(self):
        super().__init__()
        self.norm, self.layer = nn.LayerNorm(SIDE), nn.Linear(SIDE, SIDE)

    def forward(self, x):
        return x + self.layer(self.norm(x))


class MovedThere(nn.Module):
    """Linear layers on (N, H, W, C), in a block of (N, C, H, W)."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(SIDE, SIDE)

    def forward(self, x):
        return x + self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Transposed(MovedThere):
    def forward(self, x):
        return x + self.layer(x.transpose(1, 3)).transpose(1, 3)


class Convolved(nn.Module):
    """A convolution on (N, C, H, W), in a block of (N, H, W, C)."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(SIDE, SIDE, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(SIDE, SIDE, SIDE))

    def forward(self, x):
        return (x * self.weight).tanh()


class Scaled(nn.Module):
    """Weights without a layer of torch: nothing tells an axis."""

    def __init__(self):
        super().__init__()
        self.scale = Scale()

    def forward(self, x):
        return x + self.scale(x)


class Net(nn.Module):
    def __init__(self, block, first=True, stem=True):
        super().__init__()
        self.first = first
        self.stem = nn.Conv2d(3, SIDE, 1) if stem else nn.Identity()
        self.blocks = nn.Sequential(block(), block())

    def forward(self, x):
        x = self.stem(x)
        return self.blocks(x if self.first else x.permute(0, 2, 3, 1)).mean((1, 2, 3))


def layouts(model, channels=3):
    example = torch.randn(2, channels, SIDE, SIDE)
    findings = find(model, InputSpec(example=((example,), {})))
    return [found.site.layout for found in findings.found], [item.reason for item in findings.rejected]


@pytest.mark.parametrize(
    ("block", "first", "expected"),
    [
        (GatedByLinears, True, "NCHW"),
        (Last, False, "NHWC"),
        (MovedThere, True, "NCHW"),
        (Transposed, True, "NCHW"),
        (Convolved, False, "NHWC"),
    ],
)
def test_where_every_axis_is_of_one_size_the_layers_tell(block, first, expected):
    assert layouts(Net(block, first)) == ([expected, expected], [])


def test_where_no_layer_tells_the_block_is_refused():
    found, rejected = layouts(Net(Scaled, stem=False), SIDE)
    assert not found
    assert all("no layer tells which axis" in reason for reason in rejected)
    assert len(rejected) == 2


class Words(nn.Module):
    """A text encoder: its example has two dimensions."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, SIDE)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(SIDE, 2, 64, batch_first=True) for _ in range(2)
        )

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return x


def test_an_example_of_two_dimensions_is_one():
    tokens = torch.arange(24).reshape(2, 12)
    result = inject(Words(), "se", example_input=tokens, check="full")
    assert [site.name for site in result.sites] == ["layers.0", "layers.1"]
    assert InputSpec(size=(12,)).image_size is None
