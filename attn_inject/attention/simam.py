"""SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks (ICML 2021).

    d = (x - mean x)^2                       the mean is over H, W, of each channel
    v = sum d / (H W - 1)
    y = x * sigmoid(d / (4 (v + lambda)) + 1/2)

Parameters: 0.

Deviations: none. A map of one position has d = 0, and v = 0 instead of 0 / 0. In float16 a
position more than 255 from its channel's mean overflows, as it does in the formula.

Legend: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class SimAM(AttentionModule):
    """SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks.

    Yang et al., ICML 2021.

    Args:
        channels: C of the map.
        regularization: lambda of the formula, in squared units of the map.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `regularization` is not above 0.
    """

    def __init__(self, channels: int, *, regularization: float = 1e-4) -> None:
        super().__init__(channels, regularization=regularization)
        parts.require_positive("SimAM", "regularization", regularization)
        self.regularization = regularization

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate each position by how far it is from its channel's mean, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "SimAM", self.channels)
        d = (x - x.mean((2, 3), keepdim=True)).square()  # (N, C, H, W)
        v = parts.spread(d)  # (N, C, 1, 1)
        return x * self.gated("positions", torch.sigmoid(d * (0.25 / (v + self.regularization)) + 0.5))
