"""ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks (arXiv 1910.03151).

    z = mean over H, W of x
    s = sigmoid(conv_k(z))            one kernel of k weights, slid along the channels, no bias
    y = x * s

By default k is the odd number next to (log2(C) + 1) / 2, by the paper's rule.

Parameters: k.

Deviations: none. The released ResNets set k by hand, 3 to 7 by stage: give `kernel_size`.

Legend: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class ECA(AttentionModule):
    """ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks, arXiv 1910.03151.

    Args:
        channels: C of the map.
        kernel_size: k, how many neighbouring channels one gate sees; `auto` follows the paper's rule.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `kernel_size` is neither `auto` nor an odd whole number.
    """

    acts_on = "channel"

    def __init__(self, channels: int, *, kernel_size: int | str = "auto") -> None:
        super().__init__(channels, kernel_size=kernel_size)
        accepted = kernel_size == "auto" or parts.is_odd(kernel_size)
        parts.require(accepted, "ECA", "kernel_size", kernel_size, "`auto` or an odd whole number from 1")
        size = kernel_size_for(channels) if kernel_size == "auto" else int(kernel_size)
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """s of the formula, (N, C, H, W) -> (N, C, 1, 1)."""
        z = x.mean((2, 3)).unsqueeze(1)  # (N, 1, C)
        s = torch.sigmoid(self.conv(z))  # (N, 1, C)
        return s.transpose(1, 2).unsqueeze(3)  # (N, C, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "ECA", self.channels)
        return x * self.gate(x)


def kernel_size_for(channels: int) -> int:
    """The paper's k: (log2(C) + 1) / 2 without its fraction, and one more if that is even."""
    size = int((math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1
