"""Strip Pooling: Rethinking Spatial Pooling for Scene Parsing (arXiv 2003.13328).

    z_h = mean over W of x               z_w = mean over H of x
    u_h = BN(conv_k(z_h))                u_w = BN(conv_k(z_w))        C -> C, along the strip, no bias
    y = x * sigmoid(W relu(u_h + u_w))   both broadcast over the map; W: 1x1, C -> C

Parameters: 2 k C C + C C + 5 C.

Deviations: none from the authors' code. The start is theirs, too: normal weights of variance 2 / outputs.

Legend: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class SPM(AttentionModule):
    """Strip Pooling: Rethinking Spatial Pooling for Scene Parsing, Hou et al., arXiv 2003.13328.

    Args:
        channels: C of the map.
        kernel_size: k of both strip convolutions, in positions.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `kernel_size` is not an odd whole number.
    """

    def __init__(self, channels: int, *, kernel_size: int = 3) -> None:
        super().__init__(channels, kernel_size=kernel_size)
        parts.require_odd("SPM", "kernel_size", kernel_size)

        def strip() -> nn.Sequential:
            conv = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
            parts.init_he_(conv, mode="fan_out")
            return nn.Sequential(conv, nn.BatchNorm1d(channels))

        self.rows, self.columns = strip(), strip()
        self.mix = nn.Conv2d(channels, channels, 1)
        nn.init.kaiming_normal_(self.mix.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "SPM", self.channels)
        z_h, z_w = parts.strip_means(x)  # (N, C, H), (N, C, W)
        u = self.rows(z_h).unsqueeze(3) + self.columns(z_w).unsqueeze(2)  # (N, C, H, W)
        return x * self.gated("positions", torch.sigmoid(self.mix(F.relu(u)))).to(x.dtype)
