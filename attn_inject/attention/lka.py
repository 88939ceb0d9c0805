"""Visual Attention Network (arXiv 2202.09741): large kernel attention.

    a = W(D2(D1 x))      D1: 5x5 depthwise; D2: 7x7 depthwise of dilation 3; W: 1x1, C -> C
    y = x * a

Both depthwise convolutions together see 23x23 positions. The gate has no sigmoid, so it is not bounded.

Parameters: C C + 77 C.

Deviations: none. Every layer has a bias. In the authors' network the module stands between two 1x1
convolutions whose result is added to their input, so it has no place of its own in a residual block: ours is
assumed. The start is theirs: normal weights of variance 2 / inputs (D1, D2) and 2 / outputs (W), biases of
zero.

Legend: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class LKA(AttentionModule):
    """Visual Attention Network, Guo et al., arXiv 2202.09741.

    Args:
        channels: C of the map.

    Shape:
        (N, C, H, W) -> (N, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.mix = nn.Conv2d(channels, channels, 1)
        parts.init_he_(self.near, self.far, mode="fan_in")
        parts.init_he_(self.mix, mode="fan_out")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate each position by a wide neighbourhood, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "LKA", self.channels)
        a: torch.Tensor = self.mix(self.far(self.near(x)))  # (N, C, H, W)
        return x * self.gated("positions", a).to(x.dtype)
