"""Dual Attention Network for Scene Segmentation (arXiv 1809.02983): over positions and over channels.

    position:  q = W_q x      k = W_k x      v = W_v x                  C -> m, m, C with m = max(1, C // 8)
               y_i = x_i + gamma * sum over positions j of softmax_j(q_i . k_j) v_j
    channel:   y_c = x_c + gamma * sum over channels d of softmax_d(-x_c . x_d) x_d

gamma is one number that starts at zero, so that y = x at first.

Parameters: 2 C m + 2 m + C C + C + 1; 1.

Deviations: none from the authors' code. It takes the most different channels, by a maximum minus the
products; a softmax cancels the maximum, so it is not written here. A softmax also cancels the bias of W_k,
which is kept to match the counts and does not learn. The authors place both at the end of a segmentation
network, between convolutions; the last block of stage 4 is nearest to that.

Legend: N batch, C channels, H rows, W columns, m inner channels, L = H W positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class PositionAttention(AttentionModule):
    """Dual Attention Network for Scene Segmentation, Fu et al., arXiv 1809.02983; its part over positions.

    Args:
        channels: C of the map.
        reduction: How many channels share one channel of queries and keys.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` is not a whole number from 1.
    """

    def __init__(self, channels: int, *, reduction: int = 8) -> None:
        super().__init__(channels, reduction=reduction)
        parts.require_count("PositionAttention", "reduction", reduction)
        inner = max(1, channels // reduction)
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        parts.freeze_bias_(self.key)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add to each position a weighted mean of all, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "PositionAttention", self.channels)
        q, k, v = (conv(x).flatten(2).mT.unsqueeze(1) for conv in (self.query, self.key, self.value))
        # (N, 1, L, m), (N, 1, L, m), (N, 1, L, C) -> (N, 1, L, C); torch.onnx takes four dimensions only
        found = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        found = torch.unflatten(found.squeeze(1).transpose(1, 2), 2, x.shape[2:])  # (N, C, H, W)
        return x + (self.gamma * found).to(x.dtype)


class ChannelAttention(AttentionModule):
    """Dual Attention Network for Scene Segmentation, Fu et al., arXiv 1809.02983; its part over channels.

    Args:
        channels: C of the map.

    Shape:
        (N, C, H, W) -> (N, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add to each channel a weighted mean of all, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "ChannelAttention", self.channels)
        rows = x.flatten(2)  # (N, C, L)
        likeness = torch.bmm(rows, rows.transpose(1, 2))  # (N, C, C)
        found = torch.bmm(torch.softmax(-likeness, dim=2).to(rows.dtype), rows)  # (N, C, L)
        return x + (self.gamma * torch.unflatten(found, 2, x.shape[2:])).to(x.dtype)
