"""BAM: Bottleneck Attention Module (arXiv 1807.06514): a channel and a spatial branch make one gate.

    M_c = W1 relu(BN(W0 z))                     z = mean over H, W of x; W0: C -> C/r, W1: C/r -> C
    M_s = V3 f(V2 f(V1 f(V0 x)))                f = relu BN; V0: 1x1, C -> C/r; V1, V2: 3x3 of dilation d;
                                                V3: 1x1, C/r -> 1
    y = x * (1 + sigmoid(M_c * M_s))

`literal=True` follows the equations of the paper as printed, without a nonlinearity between the layers:

    M_c = BN(W1 (W0 z))      M_s = BN(V3 V2 V1 V0 x)      y = x + x * sigmoid(M_c + M_s)

Parameters: 3 C h + C + 18 h h + 13 h + 1 with h = max(1, C // r); 3 C h + 3 C + 18 h h + 5 h + 3 if literal.

Deviations: the default follows the authors' code, which multiplies both branches where the paper adds them,
and has norms and ReLUs after every layer except the last. All its layers have biases, which start at zero, as
have ours; its spatial convolutions start with normal weights of variance 2 / outputs. It pools by a window of
the map's height, so it takes square maps only; ours takes every map. The authors place it after the last
block of the first three stages, not in every block.

Legend: N batch, C channels, H rows, W columns, h hidden channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class BAM(AttentionModule):
    """BAM: Bottleneck Attention Module, Park et al., arXiv 1807.06514.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one hidden channel.
        dilation: d of both 3x3 convolutions, in positions.
        literal: Whether to follow the paper's equations instead of the authors' code.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` or `dilation` is not a whole number from 1.
    """

    def __init__(
        self, channels: int, *, reduction: int = 16, dilation: int = 4, literal: bool = False
    ) -> None:
        super().__init__(channels, reduction=reduction, dilation=dilation, literal=literal)
        parts.require_count("BAM", "reduction", reduction)
        parts.require_count("BAM", "dilation", dilation)
        hidden = max(1, channels // reduction)

        def wide() -> nn.Conv2d:
            return nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)

        channel = [nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)]
        spatial = [nn.Conv2d(channels, hidden, 1), wide(), wide(), nn.Conv2d(hidden, 1, 1)]
        normed = _normed_at_the_end if literal else _normed_in_between
        self.channel = nn.Sequential(*normed(channel))
        self.spatial = nn.Sequential(*normed(spatial))
        self.literal = literal
        parts.init_he_(*spatial, mode="fan_out")
        parts.zero_bias_(*channel)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map by channel and position, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "BAM", self.channels)
        m_c = self.channel(x.mean((2, 3), keepdim=True))  # (N, C, 1, 1)
        m_s = self.spatial(x)  # (N, 1, H, W)
        m = m_c + m_s if self.literal else m_c * m_s  # (N, C, H, W)
        return x + x * self.gated("positions", torch.sigmoid(m)).to(x.dtype)


def _normed_in_between(layers: list[nn.Conv2d]) -> Iterator[nn.Module]:
    for layer in layers[:-1]:
        yield from (layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU())
    yield layers[-1]


def _normed_at_the_end(layers: list[nn.Conv2d]) -> Iterator[nn.Module]:
    yield from layers
    yield nn.BatchNorm2d(layers[-1].out_channels)
