"""Squeeze-and-Excitation Networks (arXiv 1709.01507): one gate per channel from the map's mean.

    z = mean over H, W of x
    s = sigmoid(W2 relu(W1 z))        W1: C -> C/r, W2: C/r -> C
    y = x * s

Parameters: 2 C h + h + C with h = max(1, C // r), without bias 2 C h.

Deviations: none. The released networks have biases, the paper's ablations have none: `bias=False`.
A width below `reduction` keeps one hidden channel.

Legend: N batch, C channels, H rows, W columns, h hidden channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class SE(AttentionModule):
    """Squeeze-and-Excitation Networks, Hu et al., arXiv 1709.01507.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one hidden channel.
        bias: Whether both layers have a bias.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` is no whole number from 1.
    """

    acts_on = "channel"

    def __init__(self, channels: int, *, reduction: int = 16, bias: bool = True) -> None:
        super().__init__(channels, reduction=reduction, bias=bias)
        parts.require_count("SE", "reduction", reduction)
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        parts.init_he_(self.fc1, self.fc2, mode="fan_in")

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """s of the formula, (N, C, H, W) -> (N, C, 1, 1)."""
        z = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        hidden = F.relu(self.fc1(z))  # (N, h, 1, 1)
        return torch.sigmoid(self.fc2(hidden))  # (N, C, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "SE", self.channels)
        return x * self.gate(x)
