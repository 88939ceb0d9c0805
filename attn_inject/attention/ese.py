"""CenterMask: Real-Time Anchor-Free Instance Segmentation (arXiv 1911.06667): effective squeeze-excitation.

    z = mean over H, W of x
    y = x * hsigmoid(W z + b)          W: C -> C; hsigmoid(v) = min(max(v + 3, 0), 6) / 6

Squeeze-and-excitation without its bottleneck, so that no channel is lost on the way. VoVNetV2 brought it.

Parameters: C C + C.

Deviations: none. The start is that of the authors' code: normal weights of variance 2 / C; its bias keeps
torch's start.

Legend: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class ESE(AttentionModule):
    """CenterMask: Real-Time Anchor-Free Instance Segmentation, Lee and Park, arXiv 1911.06667.

    Args:
        channels: C of the map.

    Shape:
        (N, C, H, W) -> (N, C, H, W).
    """

    acts_on = "channel"

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.fc = nn.Conv2d(channels, channels, 1)
        nn.init.kaiming_normal_(self.fc.weight, nonlinearity="relu")

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        v = self.fc(x.mean((2, 3), keepdim=True))  # (N, C, 1, 1)
        return (F.relu6(v + 3) / 6).to(x.dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "ESE", self.channels)
        return x * self.gate(x)
