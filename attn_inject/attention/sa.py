"""SA-Net: Shuffle Attention for Deep Convolutional Neural Networks (arXiv 2102.00240).

The channels are split into G groups, and each group into two halves of K = C / 2G channels, x0 and x1.

    y0 = x0 * sigmoid(cw * mean over H, W of x0 + cb)
    y1 = x1 * sigmoid(sw * GN(x1) + sb)                   GN standardises each channel of x1
    y = shuffle([y0, y1])                                 channels of the first and second half of C alternate

Parameters: 6 K = 3 C / G; the six vectors are shared by all groups.

Deviations: none. cw = sw = 0 and cb = sb = 1 at the start, so that every gate is sigmoid(1) = 0.73;
the six vectors are stored flat, (K,).

Legend: N batch, C channels, H rows, W columns, G groups, K = C / 2G.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule
from attn_inject.request import Option


class SA(AttentionModule):
    """SA-Net: Shuffle Attention for Deep Convolutional Neural Networks, Zhang and Yang, arXiv 2102.00240.

    Args:
        channels: C of the map.
        groups: G; C must be a multiple of 2 G.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: C is not a multiple of 2 x `groups`.
    """

    def __init__(self, channels: int, *, groups: int = 64) -> None:
        super().__init__(channels, groups=groups)
        parts.require_count("SA", "groups", groups)
        accepts = f"a number whose double divides {channels} channels"
        parts.require(channels % (2 * groups) == 0, "SA", "groups", groups, accepts)
        self.groups, self.half_channels = groups, channels // (2 * groups)
        self.cweight = nn.Parameter(torch.zeros(self.half_channels))
        self.cbias = nn.Parameter(torch.ones(self.half_channels))
        self.sweight = nn.Parameter(torch.zeros(self.half_channels))
        self.sbias = nn.Parameter(torch.ones(self.half_channels))
        self.norm_weight = nn.Parameter(torch.ones(self.half_channels))
        self.norm_bias = nn.Parameter(torch.zeros(self.half_channels))

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """The largest number of groups, at most the one asked for, whose double divides C."""
        asked = options["groups"]
        if channels % 2 or not parts.is_count(asked):
            return dict(options)
        return {**options, "groups": parts.largest_divisor(channels // 2, int(asked))}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate half of each group by channel and half by position, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "SA", self.channels)
        halves = torch.unflatten(x, 1, (self.groups, 2, -1))  # (N, G, 2, K, H, W)
        x0, x1 = halves.select(2, 0), halves.select(2, 1)  # (N, G, K, H, W)
        y0 = x0 * self.gated("channels", self.channel_gate(x0)).to(x.dtype)
        y1 = x1 * self.gated("positions", self.spatial_gate(x1)).to(x.dtype)
        y = torch.stack([y0, y1], dim=2).flatten(1, 3)  # (N, C, H, W)
        return shuffle(y, x)

    def channel_gate(self, x0: torch.Tensor) -> torch.Tensor:
        """(N, G, K, H, W) -> (N, G, K, 1, 1)."""
        z = x0.mean((3, 4), keepdim=True)
        return torch.sigmoid(self.cweight.view(-1, 1, 1) * z + self.cbias.view(-1, 1, 1))

    def spatial_gate(self, x1: torch.Tensor) -> torch.Tensor:
        """(N, G, K, H, W) -> (N, G, K, H, W); sw and sb are folded into the norm's own scale and shift."""
        weight = self.sweight * self.norm_weight
        bias = self.sweight * self.norm_bias + self.sbias
        normed = F.group_norm(x1.flatten(0, 1), self.half_channels, weight, bias)  # (N G, K, H, W)
        return torch.unflatten(torch.sigmoid(normed), 0, (-1, self.groups))


def shuffle(y: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Let the channels of the first and the second half alternate, in the memory format of `like`.

    The one copy that this needs is written directly in that format, which saves a second copy.

    Args:
        y: (N, C, H, W) with an even C.
        like: A map of the same shape, contiguous or channels_last.
    """
    halves = torch.unflatten(y, 1, (2, -1)).transpose(1, 2)  # (N, C/2, 2, H, W)
    if parts.is_channels_last(like):
        return halves.permute(0, 3, 4, 1, 2).flatten(3).permute(0, 3, 1, 2)
    return halves.flatten(1, 2)


# fx cannot trace the branch; wrapped, it is one call in a traced graph.
torch.fx.wrap("shuffle")
