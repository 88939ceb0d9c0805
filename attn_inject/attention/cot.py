"""Contextual Transformer Networks for Visual Recognition (arXiv 2107.12292).

    k1 = relu(BN(conv(x)))                     3x3 in 4 groups, C -> C, no bias: the static context
    w = GN(W2 relu(BN(W1 [x, k1])))            3x3 weights per position for each of C / 8 heads;
                                               W1: 2 C -> C/2, no bias, W2: C/2 -> 9 C/8; GN by head
    v = BN(W_v x)                              1x1, no bias
    k2 = silu(BN(sum over the 3x3 window of w v))          channel c has head c mod C/8: the dynamic context
    a, b = softmax over the two of U2 relu(BN(U1 (mean over H, W of k1 + k2)))        U1: C -> d, U2: d -> 2 C
    y = a * k2 + b * k1

Parameters: 9 C C / 4 + 2 C + C C + C + 9 C C / 16 + 9 C / 8 + 9 C / 4 + C C + 2 C + 2 C
+ C d + 3 d + 2 C d + 2 C with d = max(C // 2, 32).

It replaces a 3x3 convolution (`replace-conv`); the authors' block has no norm and activation behind it, and
those of the modified block stay. With C channels in and C out it satisfies the contract, but it is a layer,
not a gate.

Deviations: none from the authors' code. Where a replaced convolution has a stride, 2x2 average pooling
follows; the authors pool before it, 3x3. The windows are never copied, as in `involution`. The start is
torch's, as the authors' layer leaves it.

Legend: N batch, C channels, H rows, W columns, d hidden channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts, windows
from attn_inject.attention.contract import AttentionModule

SHARED = 8


class CoT(AttentionModule):
    """Contextual Transformer Networks for Visual Recognition, Li et al., arXiv 2107.12292.

    Args:
        channels: C of the map, a multiple of 8.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: C is not a multiple of 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        if channels % SHARED:
            raise ValueError(f"CoT: channels={channels} is not accepted; it takes a multiple of {SHARED}.")
        heads, hidden = channels // SHARED, max(channels // 2, 32)
        self.heads = heads
        self.key = nn.Conv2d(channels, channels, 3, padding=1, groups=4, bias=False)
        self.key_bn = nn.BatchNorm2d(channels)
        self.embed1 = nn.Conv2d(2 * channels, channels // 2, 1, bias=False)
        self.embed_bn = nn.BatchNorm2d(channels // 2)
        self.embed2 = nn.Conv2d(channels // 2, 9 * heads, 1)
        self.embed_gn = nn.GroupNorm(heads, 9 * heads)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.value_bn = nn.BatchNorm2d(channels)
        self.bn = nn.BatchNorm2d(channels)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc_bn = nn.BatchNorm2d(hidden)
        self.fc2 = nn.Conv2d(hidden, 2 * channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The static and the dynamic context of each position, mixed, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "CoT", self.channels)
        static = F.relu(self.key_bn(self.key(x)))  # (N, C, H, W)
        w = F.relu(self.embed_bn(self.embed1(torch.cat([x.to(static.dtype), static], dim=1))))
        w = torch.unflatten(self.embed_gn(self.embed2(w)), 1, (self.heads, -1)).unsqueeze(1)
        v = torch.unflatten(self.value_bn(self.value(x)), 1, (-1, self.heads))  # (N, 8, C/8, H, W)
        dynamic = windows.weighed(v, w.to(v.dtype))  # weights (N, 1, C/8, 9, H, W)
        dynamic = F.silu(self.bn(dynamic.flatten(1, 2)))  # (N, C, H, W)
        mean = (static + dynamic).mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        scores = self.fc2(F.relu(self.fc_bn(self.fc1(mean))))  # (N, 2 C, 1, 1)
        a = torch.softmax(torch.unflatten(scores, 1, (-1, 2)), dim=2)  # (N, C, 2, 1, 1)
        a = self.gated("branches", a).to(dynamic.dtype)
        return parts.laid_out(dynamic * a.select(2, 0) + static * a.select(2, 1), x)
