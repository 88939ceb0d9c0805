"""EPSANet: An Efficient Pyramid Squeeze Attention Block on Convolutional Neural Network (arXiv 2105.14447).

    u_i = conv_i(x)                    i = 1, 2, 3, 4: k_i = 3, 5, 7, 9; G / 16, G / 4, G / 2 and G groups (at
                                       least 1); C -> C / 4, no bias
    s_i = sigmoid(W2 relu(W1 z_i))     z_i = mean over H, W of u_i; W1: C/4 -> h, W2: h -> C/4, shared
    a_1, ..., a_4 = softmax over the four of s_i           per channel
    y = [a_4 u_4, a_3 u_3, a_2 u_2, a_1 u_1]               along the channels

Parameters: with p = C / 4, h = max(1, p // r) and G = 16: p C (9 + 25/4 + 49/8 + 81/16) + 2 p h + h + p.

It replaces a 3x3 convolution (`replace-conv`). With C channels in and C out it satisfies the contract, but it
is a layer, not a gate.

Deviations: none from the authors' code, whose four convolutions each read all channels and whose output has
this order. Where a replaced convolution has a stride, 2x2 average pooling follows; the authors' convolutions
have it. Every layer starts as theirs, with normal weights of variance 2 / outputs.

Legend: N batch, C channels, H rows, W columns, p = C / 4, h hidden channels, G groups.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule
from attn_inject.request import Option

KERNELS = (3, 5, 7, 9)


class EPSA(AttentionModule):
    """EPSANet: An Efficient Pyramid Squeeze Attention Block on Convolutional Neural Network.

    Zhang et al., arXiv 2105.14447.

    Args:
        channels: C of the map, a multiple of 4.
        reduction: r, how many channels of a quarter share one hidden channel.
        groups: G of the widest convolution, a divisor of a quarter of C; the others have fewer.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: C is not a multiple of 4, `reduction` is not a whole number from 1, or `groups` not such a
            divisor that is a power of 2.
    """

    def __init__(self, channels: int, *, reduction: int = 16, groups: int = 16) -> None:
        super().__init__(channels, reduction=reduction, groups=groups)
        if channels % 4:
            raise ValueError(f"EPSA: channels={channels} is not accepted; it takes a multiple of 4.")
        parts.require_count("EPSA", "reduction", reduction)
        quarter = channels // 4
        serves = parts.is_count(groups) and groups & (groups - 1) == 0 and quarter % groups == 0
        accepts = f"a power of 2 that divides the {quarter} channels of a quarter"
        parts.require(serves, "EPSA", "groups", groups, accepts)
        each = [max(1, groups * part // 16) for part in (1, 4, 8, 16)]
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, quarter, kernel, padding=kernel // 2, groups=number, bias=False)
            for kernel, number in zip(KERNELS, each, strict=True)
        )
        hidden = max(1, quarter // reduction)
        self.fc1 = nn.Conv2d(quarter, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, quarter, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """The largest power of 2, at most the groups asked for, that divides a quarter of C."""
        asked = options["groups"]
        if channels % 4 or not parts.is_count(asked):
            return dict(options)
        powers = [1 << at for at in range(int(asked).bit_length())]
        return {**options, "groups": max(g for g in powers if channels // 4 % g == 0)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Four convolutions weighed per channel, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "EPSA", self.channels)
        maps = [conv(x) for conv in self.convs]  # 4 times (N, p, H, W)
        gates = [torch.sigmoid(self.fc2(F.relu(self.fc1(u.mean((2, 3), keepdim=True))))) for u in maps]
        a = torch.softmax(torch.stack(gates, dim=1), dim=1)  # (N, 4, p, 1, 1)
        a = self.gated("branches", a).to(maps[0].dtype)
        weighed = [u * a.select(1, at) for at, u in enumerate(maps)]
        return parts.laid_out(torch.cat(weighed[::-1], dim=1), x)
