"""Attention that no position mixes with another, for models all of whose tokens are ordered."""

from __future__ import annotations

import torch
from torch import nn

from attn_inject.attention.contract import AttentionModule


class PerPosition(AttentionModule):
    """A gate of each position by itself, (N, C, H, W) -> (N, C, H, W)."""

    mixes_positions = False

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.convolution = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map."""
        return x * self.convolution(x).sigmoid()
