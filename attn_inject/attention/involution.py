"""Involution: Inverting the Inherence of Convolution for Visual Recognition (arXiv 2103.06255).

    w = W1 relu(BN(W0 x))              a k x k kernel per position and group; W0: C -> C/r, no bias,
                                       W1: C/r -> k k G, with bias; G = C / group_channels
    y_ij = sum over the k x k window around ij of w_ij x   the channels of a group share its kernel

Parameters: C h + 2 h + (h + 1) k k G with h = max(1, C // r).

It replaces a convolution (`replace-conv`). With C channels in and C out it satisfies the contract, but it is
a layer, not a gate.

Deviations: where a replaced convolution has a stride, 2x2 average pooling follows; the authors make the
kernels from a pooled map and move the window by the stride. Otherwise none from their code; it starts as
theirs, with normal weights of variance 2 / outputs and a bias of zero.

The windows are never copied: each of the k k offsets is a view of the padded map. An exported graph copies
them.

Legend: N batch, C channels, H rows, W columns, G groups, D = C / G channels of a group, h hidden channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts, windows
from attn_inject.attention.contract import AttentionModule
from attn_inject.request import Option


class Involution(AttentionModule):
    """Involution: Inverting the Inherence of Convolution for Visual Recognition, Li et al., arXiv 2103.06255.

    Args:
        channels: C of the map.
        kernel_size: k of the window, in positions.
        reduction: r, how many channels share one hidden channel.
        group_channels: How many channels share one kernel, a divisor of C.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `kernel_size` is not an odd whole number, `reduction` not one from 1, or `group_channels`
            does not divide C.
    """

    def __init__(
        self, channels: int, *, kernel_size: int = 7, reduction: int = 4, group_channels: int = 16
    ) -> None:
        super().__init__(
            channels, kernel_size=kernel_size, reduction=reduction, group_channels=group_channels
        )
        parts.require_odd("Involution", "kernel_size", kernel_size)
        parts.require_count("Involution", "reduction", reduction)
        parts.require_divisor("Involution", "group_channels", group_channels, channels)
        hidden, groups = max(1, channels // reduction), channels // group_channels
        self.groups = groups
        self.reduce = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn = nn.BatchNorm2d(hidden)
        self.span = nn.Conv2d(hidden, kernel_size * kernel_size * groups, 1)
        parts.init_he_(self.reduce, self.span, mode="fan_out")

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """The largest number of channels per kernel, at most the one asked for, that divides C."""
        return parts.adapt_divisor(channels, options, "group_channels")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each window by its own kernel, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "Involution", self.channels)
        kernels = self.span(F.relu(self.bn(self.reduce(x))))  # (N, G k k, H, W)
        kernels = torch.unflatten(kernels, 1, (self.groups, -1)).unsqueeze(2)  # (N, G, 1, k k, H, W)
        values = torch.unflatten(x, 1, (self.groups, -1)).to(kernels.dtype)  # (N, G, D, H, W)
        y = windows.weighed(values, kernels)  # (N, G, D, H, W)
        return parts.laid_out(y.flatten(1, 2), x)
