"""Spatial Group-wise Enhance (arXiv 1905.09646): in each group, a gate by similarity to the group's mean.

The paper: Spatial Group-wise Enhance: Improving Semantic Feature Learning in Convolutional Networks
(arXiv 1905.09646). In each of G groups of channels:

    z = mean over H, W of x
    a = sum over the group's channels of z * x          one number per position
    t = w (a - mean a) / (std a + 1e-5) + b             over H, W; w and b are one number per group
    y = x * sigmoid(t)

Parameters: 2 G.

Deviations: none. w = 0 and b = 1 at the start, and std divides by one less than the number of positions, as
in the authors' code; a map of one position has a = mean a, so that t = b.

Legend: N batch, C channels, H rows, W columns, G groups, K = C / G.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule
from attn_inject.request import Option


class SGE(AttentionModule):
    """Spatial Group-wise Enhance: Improving Semantic Feature Learning in Convolutional Networks.

    Li et al., arXiv 1905.09646.

    Args:
        channels: C of the map.
        groups: G, a divisor of C.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `groups` does not divide C.
    """

    fewest_positions = 2  # of one position, its weights are a constant

    def __init__(self, channels: int, *, groups: int = 64) -> None:
        super().__init__(channels, groups=groups)
        parts.require_divisor("SGE", "groups", groups, channels)
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(groups))
        self.bias = nn.Parameter(torch.ones(groups))

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """The largest number of groups, at most the one asked for, that divides C."""
        return parts.adapt_divisor(channels, options, "groups")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate each group by position, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "SGE", self.channels)
        grouped = torch.unflatten(x, 1, (self.groups, -1))  # (N, G, K, H, W)
        z = grouped.mean((3, 4), keepdim=True)  # (N, G, K, 1, 1)
        a = (grouped * z).sum(2)  # (N, G, H, W)
        t = parts.standardise(a) * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)  # (N, G, H, W)
        gate = self.gated("positions", torch.sigmoid(t)).to(x.dtype).unsqueeze(2)  # (N, G, 1, H, W)
        return (grouped * gate).flatten(1, 2)
