"""GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond (arXiv 1904.11492).

    alpha = softmax over H, W of (w . x + b)            one weight per position, C -> 1
    ctx = sum over H, W of alpha * x                    (C,)
    y = x + W2 relu(LN(W1 ctx))                         W1: C -> C/r, W2: C/r -> C; added, not multiplied

Parameters: 2 C h + 2 C + 1 + 3 h with h = max(1, C // r).

Deviations: none. As in the authors' code all three layers have biases and W2 starts at zero, so that y = x
at first. A softmax cancels b: it is kept only to match the published counts, and does not learn.

A LayerNorm removes the mean and the scale of its h values, so of one or two hidden channels nothing is left
that could learn; for C < 3 r the reduction is adapted to C // 3.

Legend: N batch, C channels, H rows, W columns, h hidden channels, L = H W positions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule
from attn_inject.request import Option


class GC(AttentionModule):
    """GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond, Cao et al., arXiv 1904.11492.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one hidden channel.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` is not a whole number from 1.
    """

    fewest_positions = 2  # of one position, its weights are a constant

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__(channels, reduction=reduction)
        parts.require_count("GC", "reduction", reduction)
        hidden = max(1, channels // reduction)
        self.mask = nn.Conv2d(channels, 1, 1)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.LayerNorm(hidden)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        parts.init_he_(self.mask, mode="fan_in")
        nn.init.zeros_(self.fc2.weight)
        parts.zero_bias_(self.fc2)
        parts.freeze_bias_(self.mask)

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """The largest reduction, at most the one asked for, that leaves three hidden channels."""
        asked = options["reduction"]
        if not parts.is_count(asked):
            return dict(options)
        return {**options, "reduction": min(int(asked), max(1, channels // 3))}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add one vector to every position, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "GC", self.channels)
        alpha = torch.softmax(self.mask(x).flatten(2), dim=2)  # (N, 1, L)
        ctx = torch.matmul(x.flatten(2), alpha.to(x.dtype).transpose(1, 2)).unsqueeze(3)  # (N, C, 1, 1)
        hidden = F.relu(self.norm(self.fc1(ctx).flatten(1)))  # (N, h)
        delta: torch.Tensor = self.fc2(hidden[:, :, None, None])  # (N, C, 1, 1)
        return x + delta.to(x.dtype)
