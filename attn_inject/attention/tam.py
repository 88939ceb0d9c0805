"""Rotate to Attend: Convolutional Triplet Attention Module (arXiv 2010.03045): one gate per pair of axes.

For each of the three axes C, H and W:

    p = [max over the axis of x, mean over the axis of x]      the other two axes make the plane
    a = sigmoid(BN(conv_k(p)))                                 2 -> 1 channels, no bias

    y = (x * a_C + x * a_H + x * a_W) / 3                      each gate is broadcast along its own axis

Parameters: 3 (2 k k + 2).

Deviations: none. The norms' momentum is 0.01, as in the authors' code. The start is that of their training
code: normal weights of variance 2 / outputs, and a scale of zero in the norm of a_C, so that this gate starts
at 1/2.

Legend: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class TAM(AttentionModule):
    """Rotate to Attend: Convolutional Triplet Attention Module, Misra et al., arXiv 2010.03045.

    Args:
        channels: C of the map.
        kernel_size: k of the three convolutions.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `kernel_size` is not an odd whole number.
    """

    def __init__(self, channels: int, *, kernel_size: int = 7) -> None:
        super().__init__(channels, kernel_size=kernel_size)
        parts.require_odd("TAM", "kernel_size", kernel_size)
        self.over_channels = _plane(kernel_size)
        self.over_rows = _plane(kernel_size)
        self.over_columns = _plane(kernel_size)
        nn.init.zeros_(self.over_channels.get_parameter("1.weight"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map by each pair of its axes, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "TAM", self.channels)
        a_c = self.over_channels(pooled(x, 1))  # (N, 1, H, W)
        a_h = self.over_rows(pooled(x, 2)).transpose(1, 2)  # (N, C, 1, W)
        a_w = self.over_columns(pooled(x, 3)).squeeze(1).unsqueeze(3)  # (N, C, H, 1)
        gate = torch.sigmoid(a_h) + torch.sigmoid(a_w) + torch.sigmoid(a_c)  # (N, C, H, W)
        return x * self.gated("positions", gate / 3).to(x.dtype)


def pooled(x: torch.Tensor, dim: int) -> torch.Tensor:
    """The maximum and the mean over one axis of a map, two channels of the plane that the others make.

    (N, C, H, W) -> (N, 2, H, W), (N, 2, C, W) or (N, 2, C, H) for `dim` 1, 2 or 3.
    """
    return torch.stack([parts.peak(x, dim).squeeze(dim), x.mean(dim)], dim=1)


def _plane(kernel_size: int) -> nn.Sequential:
    """(N, 2, A, B) -> (N, 1, A, B)."""
    conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
    parts.init_he_(conv, mode="fan_out")
    return nn.Sequential(conv, nn.BatchNorm2d(1, momentum=0.01))
