"""ELA: Efficient Local Attention for Deep Convolutional Neural Networks (arXiv 2403.01123).

    z_h = mean over W of x            z_w = mean over H of x
    a_h = sigmoid(GN(conv_k(z_h)))    a_w = sigmoid(GN(conv_k(z_w)))
    y = x * a_h * a_w

| variant | kernel_size | groups of the convolution | num_groups of the norm | parameters |
|---|---|---|---|---|
| ELA-T | 5 | C | 32 | 7 C |
| ELA-B | 7 | C | 16 | 9 C |
| ELA-S | 5 | C/8 | 16 | 42 C |
| ELA-L | 7 | C/8 | 16 | 58 C |

Deviations: none. The equations have two convolutions; the authors' code and ours share one convolution and
one norm between both axes (`shared=False` gives two of each). The paper does not say what happens if the
number of groups does not divide the channels: `adapt` takes the largest smaller number that does.

Legend: N batch, C channels, H rows, W columns, L = H or W.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule
from attn_inject.request import Option


class ELA(AttentionModule):
    """ELA: Efficient Local Attention for Deep Convolutional Neural Networks, Xu and Wan, arXiv 2403.01123.

    The defaults are ELA-L.

    Args:
        channels: C of the map.
        kernel_size: k, neighbouring rows or columns that the convolution looks at.
        groups: Of the convolution: a number, or `C` or `C/8` (any divisor, rounded down).
        num_groups: Of the group norm.
        shared: Whether both axes share one convolution and one norm.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `kernel_size` is even or below 1, or a number of groups does not divide C.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 7,
        groups: int | str = "C/8",
        num_groups: int = 16,
        shared: bool = True,
    ) -> None:
        super().__init__(
            channels, kernel_size=kernel_size, groups=groups, num_groups=num_groups, shared=shared
        )
        parts.require_odd("ELA", "kernel_size", kernel_size)
        conv_groups = parts.group_count("ELA", "groups", groups, channels)
        parts.require_divisor("ELA", "groups", conv_groups, channels)
        parts.require_divisor("ELA", "num_groups", num_groups, channels)

        def axis() -> nn.Sequential:
            padding = kernel_size // 2
            conv = nn.Conv1d(channels, channels, kernel_size, padding=padding, groups=conv_groups, bias=False)
            return nn.Sequential(conv, nn.GroupNorm(num_groups, channels))

        self.axes = nn.ModuleList(axis() for _ in range(1 if shared else 2))

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """For a number of groups that does not divide C, the largest below it that does."""
        adapted = dict(options)
        for option in ("groups", "num_groups"):
            asked = parts.group_count("ELA", option, options[option], channels)
            served = parts.largest_divisor(channels, asked)
            if served != asked:
                adapted[option] = served
        return adapted

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map by rows and by columns, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "ELA", self.channels)
        z_h, z_w = parts.strip_means(x)  # (N, C, H), (N, C, W)
        a_h = torch.sigmoid(self.axes[0](z_h))
        a_w = torch.sigmoid(self.axes[-1](z_w))
        return parts.strip_gate(x, self.gated("rows", a_h), self.gated("columns", a_w))
