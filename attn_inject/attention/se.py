"""Squeeze-and-Excitation Networks (arXiv 1709.01507): one gate per channel from the map's mean.

    z = mean over H, W of x
    s = sigmoid(W2 relu(W1 z))        W1: C -> C/r, W2: C/r -> C
    y = x * s

`squeeze=max` takes the maximum instead of the mean, `squeeze=none` leaves the map unchanged, so that W1 and
W2 run at every position and s is one gate per channel and position; `gate` is the function around W2. These
are the paper's ablations; the paper keeps the mean and the sigmoid.

Parameters: 2 C h + h + C with h = max(1, C // r), without bias 2 C h.

Deviations: none. The released networks have biases; the paper's ablations have none (`bias=False`).
A width below `reduction` keeps one hidden channel.

Legend: N batch, C channels, H rows, W columns, h hidden channels; H', W' are 1, or H, W without a squeeze.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule

_SQUEEZES = ("avg", "max", "none")
_GATES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


class SE(AttentionModule):
    """Squeeze-and-Excitation Networks, Hu et al., arXiv 1709.01507.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one hidden channel.
        bias: Whether both layers have a bias.
        squeeze: `avg` or `max` over all positions, or `none`.
        gate: `sigmoid`, `tanh` or `relu`.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` is not a whole number from 1, or `squeeze` or `gate` is not one of these
            words.
    """

    acts_on = "channel"

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        bias: bool = True,
        squeeze: str = "avg",
        gate: str = "sigmoid",
    ) -> None:
        super().__init__(channels, reduction=reduction, bias=bias, squeeze=squeeze, gate=gate)
        parts.require_count("SE", "reduction", reduction)
        parts.require_word("SE", "squeeze", squeeze, _SQUEEZES)
        parts.require_word("SE", "gate", gate, tuple(_GATES))
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.squeeze, self.activation = squeeze, _GATES[gate]
        if squeeze == "none":
            self.acts_on = "spatial"
        parts.init_he_(self.fc1, self.fc2, mode="fan_in")

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """s of the formula, (N, C, H, W) -> (N, C, H', W')."""
        z = x  # (N, C, H', W')
        if self.squeeze == "avg":
            z = x.mean((2, 3), keepdim=True)
        elif self.squeeze == "max":
            z = parts.peak(x.flatten(2), 2).unsqueeze(3)
        hidden = F.relu(self.fc1(z))  # (N, h, H', W')
        return self.activation(self.fc2(hidden))  # (N, C, H', W')

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "SE", self.channels)
        return x * self.gate(x)
