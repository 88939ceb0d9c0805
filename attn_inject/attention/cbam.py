"""CBAM: Convolutional Block Attention Module (arXiv 1807.06521): a channel gate, then a spatial gate.

    M_c = sigmoid(MLP(mean over H, W of x) + MLP(max over H, W of x))     MLP: C -> C/r -> C with a ReLU
    x' = x * M_c
    M_s = sigmoid(BN(conv_k([max over C of x', mean over C of x'])))
    y = x' * M_s

Parameters: 2 C h + h + C + 2 k k + 2 with h = max(1, C // r); without bias 2 C h + 2 k k + 2.

Deviations from the equations, as in the authors' code: biases in the MLP, a batch norm after the convolution
(momentum 0.01, its scale starting at zero), and max before mean. `bias=False` removes the MLP's biases.

Legend: N batch, C channels, H rows, W columns, h hidden channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class CBAM(AttentionModule):
    """CBAM: Convolutional Block Attention Module, Woo et al., arXiv 1807.06521.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one hidden channel of the MLP.
        kernel_size: k of the spatial convolution, in positions.
        bias: Whether the MLP's layers have a bias.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` is not a whole number from 1, or `kernel_size` not an odd one.
    """

    def __init__(
        self, channels: int, *, reduction: int = 16, kernel_size: int = 7, bias: bool = True
    ) -> None:
        super().__init__(channels, reduction=reduction, kernel_size=kernel_size, bias=bias)
        parts.require_count("CBAM", "reduction", reduction)
        parts.require_odd("CBAM", "kernel_size", kernel_size)
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)
        parts.zero_bias_(self.fc1, self.fc2)
        parts.init_he_(self.conv, mode="fan_out")
        nn.init.zeros_(self.bn.weight)

    def mlp(self, z: torch.Tensor) -> torch.Tensor:
        """(N, C, 1, 1) -> (N, C, 1, 1)."""
        y: torch.Tensor = self.fc2(F.relu(self.fc1(z)))
        return y

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map by channel, then by position, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "CBAM", self.channels)
        mean = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        peak = parts.peak(x.flatten(2), 2).unsqueeze(3)  # (N, C, 1, 1)
        x = x * self.gated("channels", torch.sigmoid(self.mlp(mean) + self.mlp(peak)))
        pooled = torch.cat([parts.peak(x, 1), x.mean(1, keepdim=True)], dim=1)  # (N, 2, H, W)
        return x * self.gated("positions", torch.sigmoid(self.bn(self.conv(pooled))))
