"""ResNeSt: Split-Attention Networks (arXiv 2004.08955): parts of a grouped convolution, mixed per channel.

    u_1, ..., u_R = relu(BN(conv(x)))                      3x3 in R groups, C -> R C, no bias
    z = relu(BN(W1 (mean over H, W of u_1 + ... + u_R)))   W1: C -> d = max(R C // r, 32)
    a_1, ..., a_R = softmax over the R of W2 z             per channel; W2: d -> R C; both with biases
    y = a_1 u_1 + ... + a_R u_R

Parameters: 9 C C + 2 R C + C d + 3 d + R C d + R C.

It replaces a 3x3 convolution (`replace-conv`); the authors' block has no norm and activation behind it, and
those of the modified block stay. With C channels in and C out it satisfies the contract, but it is a layer,
not a gate.

Deviations: one cardinal group, as in the authors' published networks. Where a replaced convolution has a
stride, 2x2 average pooling follows; the authors' is 3x3. It starts as theirs, with normal weights of variance
2 / outputs.

Legend: N batch, C channels, H rows, W columns, R splits, d hidden channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class SplitAttention(AttentionModule):
    """ResNeSt: Split-Attention Networks, Zhang et al., arXiv 2004.08955.

    Args:
        channels: C of the map.
        radix: R, how many splits are mixed, a divisor of C.
        reduction: r, how many of the R C channels share one hidden channel; there are at least 32.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `radix` is not a divisor of C from 2, or `reduction` not a whole number from 1.
    """

    def __init__(self, channels: int, *, radix: int = 2, reduction: int = 4) -> None:
        super().__init__(channels, radix=radix, reduction=reduction)
        divides = parts.is_count(radix) and radix > 1 and channels % radix == 0
        parts.require(
            divides, "SplitAttention", "radix", radix, f"a divisor of the {channels} channels from 2"
        )
        parts.require_count("SplitAttention", "reduction", reduction)
        hidden = max(radix * channels // reduction, 32)
        self.radix = radix
        self.conv = nn.Conv2d(channels, radix * channels, 3, padding=1, groups=radix, bias=False)
        self.bn0 = nn.BatchNorm2d(radix * channels)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.fc2 = nn.Conv2d(hidden, radix * channels, 1)
        for layer in (self.conv, self.fc1, self.fc2):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Splits mixed per channel, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "SplitAttention", self.channels)
        u = F.relu(self.bn0(self.conv(x)))
        u = torch.unflatten(u, 1, (self.radix, -1))  # (N, R, C, H, W)
        mean = u.mean((3, 4), keepdim=True).sum(1)  # (N, C, 1, 1)
        z = F.relu(self.bn1(self.fc1(mean)))  # (N, d, 1, 1)
        scores = torch.unflatten(self.fc2(z), 1, (self.radix, -1))  # (N, R, C, 1, 1)
        a = self.gated("branches", torch.softmax(scores, dim=1)).to(u.dtype)
        y = u.select(1, 0) * a.select(1, 0)  # (N, C, H, W)
        for at in range(1, self.radix):
            y = y + u.select(1, at) * a.select(1, at)
        return parts.laid_out(y, x)
