"""Efficient Multi-Scale Attention Module with Cross-Spatial Learning (arXiv 2305.13563).

The channels are split into G groups of K = C / G; all groups share the layers.

    z_h, z_w = W [mean over W of x, mean over H of x]       1x1, K -> K, over both axes at once
    p = GN(x * sigmoid(z_h) * sigmoid(z_w))                 GN standardises each channel
    q = conv_3x3(x)                                         K -> K
    a = softmax(mean over H, W of p) . q + softmax(mean over H, W of q) . p      one number per position
    y = x * sigmoid(a)

Parameters: 10 K K + 4 K.

Deviations: none from the authors' code. The mean of a standardised channel is the norm's own bias, so p is
not averaged again. No source says where in a block it stands; `before-add` is assumed.

Legend: N batch, C channels, H rows, W columns, G groups, K = C / G, L = H W positions, M = N G.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule
from attn_inject.request import Option


class EMA(AttentionModule):
    """Efficient Multi-Scale Attention Module with Cross-Spatial Learning, Ouyang et al., arXiv 2305.13563.

    Args:
        channels: C of the map.
        groups: G, a divisor of C.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `groups` does not divide C.
    """

    def __init__(self, channels: int, *, groups: int = 32) -> None:
        super().__init__(channels, groups=groups)
        parts.require_divisor("EMA", "groups", groups, channels)
        width = channels // groups
        self.groups = groups
        self.strip = nn.Conv1d(width, width, 1)
        self.norm = nn.GroupNorm(width, width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """The largest number of groups, at most the one asked for, that divides C."""
        return parts.adapt_divisor(channels, options, "groups")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate each group by position, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "EMA", self.channels)
        grouped = torch.unflatten(x, 1, (self.groups, -1))  # (N, G, K, H, W)
        part = grouped.flatten(0, 1)  # (M, K, H, W)
        rows = x.shape[2]
        z = self.strip(torch.cat([part.mean(3), part.mean(2)], dim=2))  # (M, K, H + W)
        a_h, a_w = torch.sigmoid(z[:, :, :rows]), torch.sigmoid(z[:, :, rows:])
        p = self.norm(parts.strip_gate(part, a_h, a_w))  # (M, K, H, W)
        q = self.conv(part)  # (M, K, H, W)
        a = mixed(self.norm.bias.unsqueeze(0), q) + mixed(q.mean((2, 3)), p)  # (M, H, W)
        gate = torch.unflatten(torch.sigmoid(a).to(x.dtype).unsqueeze(1), 0, (-1, self.groups))
        return (grouped * self.gated("positions", gate)).flatten(1, 2)  # (N, G, K, H, W) * (N, G, 1, H, W)


def mixed(scores: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The map's channels, each by the softmax of its score, (M or 1, K), (M, K, H, W) -> (M, H, W)."""
    weights = torch.softmax(scores, dim=1).to(x.dtype)
    return (x * weights.unsqueeze(2).unsqueeze(3)).sum(1)
