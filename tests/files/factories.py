"""Models and attention classes that files of the tests name as `tests.files.factories:...`."""

import torch
from torch import nn


class Block(nn.Module):
    """A residual block with a buffer that no state dict keeps."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.register_buffer("scale", torch.full((1,), 2.0), persistent=False)

    def forward(self, x):
        return x + self.conv(x) * self.scale


class Tied(nn.Module):
    """Two blocks with one weight."""

    def __init__(self, channels=8):
        super().__init__()
        self.one, self.two = Block(channels), Block(channels)
        self.two.conv.weight = self.one.conv.weight
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, x):
        return self.two(self.one(x)) * self.frozen


class Shifting(nn.Module):
    """An attention module whose constant is in no state dict."""

    def __init__(self, channels, *, by=3.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, 1, 1))
        self.register_buffer("by", torch.full((1,), by), persistent=False)

    def forward(self, x):
        return x * self.weight + self.by
