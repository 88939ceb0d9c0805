"""Global Attention Mechanism: Retain Information to Enhance Channel-Spatial Interactions (arXiv 2112.05561).

    x' = x * sigmoid(W2 relu(W1 x))                         at each position; W1: C -> C/r, W2: C/r -> C
    y = x' * sigmoid(BN(V2 relu(BN(V1 x'))))                V1, V2: k x k convolutions, C -> C/r -> C

Nothing is pooled, so both gates have the map's own size.

Parameters: 2 C h + 2 k k C h + 4 C + 4 h with h = max(1, C // r).

Deviations: none known. The published counts are those of r = 16; copies of the module often have 4. To save
parameters the authors also split the k x k convolutions into groups and shuffle the channels after the first
one; `groups` does both.

Legend: N batch, C channels, H rows, W columns, h hidden channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule
from attn_inject.request import Option


class GAM(AttentionModule):
    """Global Attention Mechanism: Retain Information to Enhance Channel-Spatial Interactions.

    Liu et al., arXiv 2112.05561.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one hidden channel.
        kernel_size: k of the spatial convolutions, in positions.
        groups: Of the spatial convolutions, a divisor of C and of the hidden channels.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` is not a whole number from 1, `kernel_size` not an odd one, or `groups` not
            a divisor.
    """

    def __init__(self, channels: int, *, reduction: int = 16, kernel_size: int = 7, groups: int = 1) -> None:
        super().__init__(channels, reduction=reduction, kernel_size=kernel_size, groups=groups)
        parts.require_count("GAM", "reduction", reduction)
        parts.require_odd("GAM", "kernel_size", kernel_size)
        hidden = max(1, channels // reduction)
        serves = parts.is_count(groups) and channels % groups == 0 and hidden % groups == 0
        accepts = f"a divisor of the {channels} channels and of the {hidden} hidden ones"
        parts.require(serves, "GAM", "groups", groups, accepts)
        padding = kernel_size // 2
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.conv1 = nn.Conv2d(channels, hidden, kernel_size, padding=padding, groups=groups)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, channels, kernel_size, padding=padding, groups=groups)
        self.bn2 = nn.BatchNorm2d(channels)
        self.groups = groups

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """The largest number of groups, at most the one asked for, that divides C and the hidden channels."""
        reduction, groups = options["reduction"], options["groups"]
        if not (parts.is_count(reduction) and parts.is_count(groups)):
            return dict(options)
        hidden = max(1, channels // int(reduction))
        serves = [g for g in range(1, min(int(groups), hidden) + 1) if channels % g == 0 and hidden % g == 0]
        return {**options, "groups": serves[-1]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map by channel, then by position, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "GAM", self.channels)
        x = x * self.gated("channels", torch.sigmoid(self.fc2(F.relu(self.fc1(x)))))
        hidden = F.relu(self.bn1(self.conv1(x)))  # (N, h, H, W)
        if self.groups > 1:
            hidden = F.channel_shuffle(hidden, self.groups)
        return x * self.gated("positions", torch.sigmoid(self.bn2(self.conv2(hidden))))
