"""FcaNet: Frequency Channel Attention Networks (arXiv 2012.11879): squeeze-and-excitation by frequencies.

    z_c = sum over h, w of b_u(h) b_v(w) x_chw     the channels are cut into F parts, each with its own (u, v)
    b_u(h) = cos(pi u (h + 1/2) / H) / sqrt(H)     times sqrt(2) if u > 0: the cosine transform's basis
    y = x * sigmoid(W2 relu(W1 z))                 W1: C -> C/r, W2: C/r -> C, no biases

(u, v) are the F frequencies of a 7x7 map that the authors found best, times H // 7 and W // 7 on larger maps.

Parameters: 2 C h with h = max(1, C // r). The basis is kept as F (H + W) numbers that do not learn.

Deviations: the authors' code keeps C H W numbers, and pools a map of another size to that of its basis; ours
accepts maps of one size only. On maps below 7x7 every frequency is 0 in both.

Legend: N batch, C channels, H rows, W columns, F frequencies, h hidden channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule
from attn_inject.request import Option

# The best frequencies along rows and columns, on a map of 7x7.
BEST = (
    *((0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0)),
    *((5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5), (2, 2)),
)
COUNTS = (1, 2, 4, 8, 16)


class FCA(AttentionModule):
    """FcaNet: Frequency Channel Attention Networks, Qin et al., arXiv 2012.11879.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one hidden channel.
        frequencies: F, 1, 2, 4, 8 or 16, a divisor of C.
        size: (H, W) of the only maps that it accepts, in positions.

    Shape:
        (N, C, H, W) -> (N, C, H, W) with the H, W of `size`.

    Raises:
        ValueError: `reduction` is not a whole number from 1, `frequencies` none of these or not a divisor, or
            `size` not two whole numbers from 1.
    """

    acts_on = "channel"
    needs_size = True

    def __init__(
        self, channels: int, *, reduction: int = 16, frequencies: int = 16, size: tuple[int, int]
    ) -> None:
        super().__init__(channels, reduction=reduction, frequencies=frequencies)
        parts.require_count("FCA", "reduction", reduction)
        parts.require_size("FCA", size)
        serves = frequencies in COUNTS and parts.is_count(frequencies) and channels % frequencies == 0
        accepts = f"1, 2, 4, 8 or 16, and a divisor of the {channels} channels"
        parts.require(serves, "FCA", "frequencies", frequencies, accepts)
        hidden = max(1, channels // reduction)
        self.size, self.frequencies = size, frequencies
        for at, name in enumerate(("rows", "columns")):
            chosen = [pair[at] * (size[at] // 7) for pair in BEST[:frequencies]]
            self.register_buffer(name, torch.tensor([waves(u, size[at]) for u in chosen]))
        self.fc1 = nn.Linear(channels, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, channels, bias=False)

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """The largest number of frequencies, at most the one asked for, that divides C."""
        asked = options["frequencies"]
        if not parts.is_count(asked):
            return dict(options)
        served = max(count for count in COUNTS if count <= int(asked) and channels % count == 0)
        return {**options, "frequencies": served}

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        rows, columns = self.get_buffer("rows"), self.get_buffer("columns")  # (F, H), (F, W)
        basis = (rows.unsqueeze(2) * columns.unsqueeze(1)).to(x.dtype)  # (F, H, W)
        split = torch.unflatten(x, 1, (self.frequencies, -1))  # (N, F, C / F, H, W)
        z = torch.einsum("nfchw,fhw->nfc", split, basis).flatten(1)  # (N, C)
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(z))))
        return gate.to(x.dtype).unsqueeze(2).unsqueeze(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "FCA", self.channels, self.size)
        return x * self.gate(x)


def waves(frequency: int, length: int) -> list[float]:
    """One row of the orthonormal cosine transform."""
    scale = math.sqrt((2 if frequency else 1) / length)
    return [scale * math.cos(math.pi * frequency * (at + 0.5) / length) for at in range(length)]
