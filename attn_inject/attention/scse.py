"""Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional Networks (arXiv 1803.02579).

    s = sigmoid(W2 relu(W1 z))        z = mean over H, W of x; W1: C -> C/r, W2: C/r -> C
    q = sigmoid(w . x)                one gate per position, C -> 1
    y = x * s + x * q

Parameters: 2 C h + h + 2 C + 1 with h = max(1, C // r), without bias 2 C h + C.

Deviations: the authors' released code takes the larger of both gated maps instead of their sum, which is the
equation of the paper. The equations have no biases; the code has them, and so have we (`bias=False` omits
them).

Legend: N batch, C channels, H rows, W columns, h hidden channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class ScSE(AttentionModule):
    """Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional Networks.

    Roy et al., arXiv 1803.02579.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one hidden channel.
        bias: Whether the three layers have a bias.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` is not a whole number from 1.
    """

    def __init__(self, channels: int, *, reduction: int = 2, bias: bool = True) -> None:
        super().__init__(channels, reduction=reduction, bias=bias)
        parts.require_count("ScSE", "reduction", reduction)
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.position = nn.Conv2d(channels, 1, 1, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map by channel and by position, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "ScSE", self.channels)
        hidden = F.relu(self.fc1(x.mean((2, 3), keepdim=True)))  # (N, h, 1, 1)
        s = self.gated("channels", torch.sigmoid(self.fc2(hidden)))  # (N, C, 1, 1)
        q = self.gated("positions", torch.sigmoid(self.position(x)))  # (N, 1, H, W)
        return x * (s + q).to(x.dtype)
