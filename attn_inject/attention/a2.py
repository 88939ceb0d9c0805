"""A^2-Nets: Double Attention Networks (arXiv 1810.11579): gather from all positions, distribute to each.

    A = W_a x      B = softmax over H, W of W_b x      V = softmax over m of W_v x         C -> m = C / r
    G = A B^T                            m x m, what was gathered
    y = x + W_z (G V)                    each position takes its mixture of G's columns; m -> C

Parameters: 4 C m + 2 m + C with m = max(1, C // r).

Deviations: r = 2 is that of the published count. We could not read which of the convolutions have biases.
Ours have, except W_b, whose bias a softmax over positions cancels.

Legend: N batch, C channels, H rows, W columns, m inner channels, L = H W positions.
"""

from __future__ import annotations

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class A2(AttentionModule):
    """A^2-Nets: Double Attention Networks, Chen et al., arXiv 1810.11579.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one inner channel.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` is not a whole number from 1.
    """

    fewest_positions = 2  # of one position, its weights are a constant

    def __init__(self, channels: int, *, reduction: int = 2) -> None:
        super().__init__(channels, reduction=reduction)
        parts.require_count("A2", "reduction", reduction)
        inner = max(1, channels // reduction)
        self.features = nn.Conv2d(channels, inner, 1)
        self.gather = nn.Conv2d(channels, inner, 1, bias=False)
        self.hand_out = nn.Conv2d(channels, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add to each position its mixture of what was gathered, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "A2", self.channels)
        a = self.features(x).flatten(2)  # (N, m, L)
        b = torch.softmax(self.gather(x).flatten(2), dim=2).to(a.dtype)  # (N, m, L)
        v = torch.softmax(self.hand_out(x).flatten(2), dim=1).to(a.dtype)  # (N, m, L)
        gathered = torch.bmm(a, b.transpose(1, 2))  # (N, m, m)
        handed_out = torch.unflatten(torch.bmm(gathered, v), 2, x.shape[2:])  # (N, m, H, W)
        added: torch.Tensor = self.out(handed_out)  # (N, C, H, W)
        return x + added.to(x.dtype)
