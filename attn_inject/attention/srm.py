"""SRM: A Style-based Recalibration Module for Convolutional Neural Networks (arXiv 1903.10829).

    t = [mean over H, W of x, std over H, W of x]       two numbers per channel
    z = u . t                                           u is one pair of weights per channel
    y = x * sigmoid(BN(z))

Parameters: 4 C.

Deviations: the authors' code divides the squares by one less than the number of positions, ours by their
number, so that a map of one position has a variance. std is sqrt(variance + 1e-5) and u starts at zero, as in
their code.

Legend: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class SRM(AttentionModule):
    """SRM: A Style-based Recalibration Module for Convolutional Neural Networks.

    Lee et al., arXiv 1903.10829.

    Args:
        channels: C of the map.

    Shape:
        (N, C, H, W) -> (N, C, H, W).
    """

    acts_on = "channel"

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.weight = nn.Parameter(torch.zeros(channels, 2))
        self.bn = nn.BatchNorm1d(channels)

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        mean = x.mean((2, 3))  # (N, C)
        std = torch.sqrt(x.var((2, 3), correction=0) + 1e-5)  # (N, C)
        z = mean * self.weight[:, 0] + std * self.weight[:, 1]  # (N, C)
        return torch.sigmoid(self.bn(z)).to(x.dtype).unsqueeze(2).unsqueeze(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "SRM", self.channels)
        return x * self.gate(x)
