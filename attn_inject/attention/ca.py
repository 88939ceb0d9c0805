"""Coordinate Attention for Efficient Mobile Network Design (arXiv 2103.02907).

    z_h = mean over W of x            z_w = mean over H of x
    f = hswish(BN(conv([z_h, z_w])))  one 1x1 convolution over both axes, C -> m, m = max(8, C // r)
    a_h = sigmoid(conv_h(f_h))        a_w = sigmoid(conv_w(f_w))            m -> C
    y = x * a_h * a_w

Parameters: C m + m + 2 m + 2 (m C + C).

Deviations: none. All three convolutions have a bias and are initialised from a normal distribution of
variance 2 / outputs, as in the authors' code.

Legend: N batch, C channels, H rows, W columns, m hidden channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class CA(AttentionModule):
    """Coordinate Attention for Efficient Mobile Network Design, Hou et al., arXiv 2103.02907.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one hidden channel; there are at least 8 hidden ones.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` is not a whole number from 1.
    """

    def __init__(self, channels: int, *, reduction: int = 32) -> None:
        super().__init__(channels, reduction=reduction)
        parts.require_count("CA", "reduction", reduction)
        hidden = max(8, channels // reduction)
        self.conv = nn.Conv1d(channels, hidden, 1)
        self.bn = nn.BatchNorm1d(hidden)
        self.conv_h = nn.Conv1d(hidden, channels, 1)
        self.conv_w = nn.Conv1d(hidden, channels, 1)
        parts.init_he_(self.conv, self.conv_h, self.conv_w, mode="fan_out")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map by rows and by columns, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "CA", self.channels)
        z = torch.cat(parts.strip_means(x), dim=2)  # (N, C, H + W)
        f = F.hardswish(self.bn(self.conv(z)))  # (N, m, H + W)
        rows = x.shape[2]
        a_h = torch.sigmoid(self.conv_h(f[:, :, :rows]))  # (N, C, H)
        a_w = torch.sigmoid(self.conv_w(f[:, :, rows:]))  # (N, C, W)
        return parts.strip_gate(x, self.gated("rows", a_h), self.gated("columns", a_w))
