"""Selective Kernel Networks (arXiv 1903.06586): two kernels, mixed per channel.

    u1 = relu(BN(conv(x)))      u2 = relu(BN(conv(x)))      3x3 in G groups, C -> C, of dilation 1 and 2
    z = relu(BN(W (mean over H, W of u1 + u2)))             W: C -> d = max(C // r, 32)
    a, b = softmax(A z, B z)                                per channel; A, B: d -> C
    y = a * u1 + b * u2

Parameters: 18 C C / G + 4 C + 3 C d + 2 d.

It replaces a 3x3 convolution (`replace-conv`). With C channels in and C out it satisfies the contract, but it
is a layer, not a gate, and cannot easily learn y = x; at other placements use the `identity` start.

Deviations: none. No layer has a bias; the 5x5 kernel is a 3x3 of dilation 2, as in the authors' network file,
which also gives the start: normal weights, of variance 2 / inputs in the 3x3 and of standard deviation 0.01
in W, A and B. A G that does not divide C becomes the largest divisor below it.

Legend: N batch, C channels, H rows, W columns, d hidden channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule
from attn_inject.request import Option


class SK(AttentionModule):
    """Selective Kernel Networks, Li et al., arXiv 1903.06586.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one hidden channel; there are at least 32 hidden ones.
        groups: G of both convolutions, a divisor of C.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` is not a whole number from 1, or `groups` does not divide C.
    """

    def __init__(self, channels: int, *, reduction: int = 16, groups: int = 32) -> None:
        super().__init__(channels, reduction=reduction, groups=groups)
        parts.require_count("SK", "reduction", reduction)
        parts.require_divisor("SK", "groups", groups, channels)
        hidden = max(channels // reduction, 32)

        def branch(dilation: int) -> nn.Sequential:
            conv = nn.Conv2d(
                channels, channels, 3, padding=dilation, dilation=dilation, groups=groups, bias=False
            )
            parts.init_he_(conv, mode="fan_in")
            return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())

        self.narrow, self.wide = branch(1), branch(2)
        self.fc = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn = nn.BatchNorm2d(hidden)
        self.select = nn.Conv2d(hidden, 2 * channels, 1, bias=False)
        for layer in (self.fc, self.select):
            nn.init.normal_(layer.weight, std=0.01)

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """The largest number of groups, at most the one asked for, that divides C."""
        return parts.adapt_divisor(channels, options, "groups")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Two convolutions mixed per channel, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "SK", self.channels)
        u1, u2 = self.narrow(x), self.wide(x)  # (N, C, H, W)
        mean = u1.mean((2, 3), keepdim=True) + u2.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        z = F.relu(self.bn(self.fc(mean)))  # (N, d, 1, 1)
        scores = torch.unflatten(self.select(z), 1, (2, -1))  # (N, 2, C, 1, 1)
        a = self.gated("branches", torch.softmax(scores, dim=1)).to(u1.dtype)  # (N, 2, C, 1, 1)
        y: torch.Tensor = u1 * a.select(1, 0) + u2 * a.select(1, 1)  # (N, C, H, W)
        return y.to(x.dtype)
