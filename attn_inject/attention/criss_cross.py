"""CCNet: Criss-Cross Attention for Semantic Segmentation (arXiv 1811.11721): attention along row and column.

    q = W_q x      k = W_k x      v = W_v x                  C -> m, m, C with m = max(1, C // r)
    y_ij = x_ij + gamma * sum over ab of softmax_ab(q_ij . k_ab) v_ab
                                              ab: the positions of row i and of column j, each once

Done R times with the same layers, so that after two every position has seen every other one. gamma is one
number that starts at zero, so that y = x at first.

Parameters: 2 C m + 2 m + C C + C + 1.

Deviations: none. A softmax cancels the bias of W_k, which is kept to match the counts and does not learn. The
authors place it at the end of a segmentation network, between convolutions; the last block of stage 4 is
nearest to that.

Legend: N batch, C channels, H rows, W columns, m inner channels.
"""

from __future__ import annotations

import torch
import torch.fx
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class CrissCross(AttentionModule):
    """CCNet: Criss-Cross Attention for Semantic Segmentation, Huang et al., arXiv 1811.11721.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one channel of queries and keys.
        recurrence: R, how often it is done.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` or `recurrence` is not a whole number from 1.
    """

    def __init__(self, channels: int, *, reduction: int = 8, recurrence: int = 2) -> None:
        super().__init__(channels, reduction=reduction, recurrence=recurrence)
        parts.require_count("CrissCross", "reduction", reduction)
        parts.require_count("CrissCross", "recurrence", recurrence)
        inner = max(1, channels // reduction)
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.recurrence = recurrence
        parts.freeze_bias_(self.key)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add to each position a weighted mean of its row and column, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "CrissCross", self.channels)
        for _ in range(self.recurrence):
            found = crossed(self.query(x), self.key(x), self.value(x))
            x = x + (self.gamma * found).to(x.dtype)
        return x


def crossed(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """(N, m, H, W), (N, m, H, W), (N, C, H, W) -> (N, C, H, W)."""
    rows = q.shape[2]
    along_column = torch.einsum("nchw,ncgw->nhwg", q, k)  # (N, H, W, H)
    along_row = torch.einsum("nchw,nchv->nhwv", q, k)  # (N, H, W, W)
    # A position is in its row and in its column, and counts once.
    itself = torch.eye(rows, dtype=torch.bool, device=q.device).unsqueeze(1)  # (H, 1, H)
    along_column = along_column.masked_fill(itself, float("-inf"))
    weights = torch.softmax(torch.cat([along_column, along_row], dim=3), dim=3).to(v.dtype)
    down, across = weights[..., :rows], weights[..., rows:]
    return torch.einsum("nhwg,ncgw->nchw", down, v) + torch.einsum("nhwv,nchv->nchw", across, v)


# fx would take the number of rows as a constant.
torch.fx.wrap("crossed")
