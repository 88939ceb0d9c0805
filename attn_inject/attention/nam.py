"""NAM: Normalization-based Attention Module (arXiv 2111.12419): gates from the norm's own scales.

    channel:  y = x * sigmoid(w * BN(x))       w = |gamma| / sum |gamma|, one per channel
    spatial:  y = x * sigmoid(v * BN_p(x))     v = |lambda| / sum |lambda|, one per position;
                                               BN_p treats each position as a feature
    both:     the spatial one on the channel one's output

Parameters: 2 C for the channel part, 2 H W for the spatial part, which therefore fixes the map's size.

Deviations: the equations sum gamma, the authors' code and ours sum |gamma|; the two are equal as long as
no gamma is negative. As in their code no gradient flows through the ratio: gamma learns through the norm that
it scales (and through the L1 penalty). The sum is at least 1e-6, so that scales of zero give 0 and not 0 / 0.
The spatial part is from the history of the code; its last version has only the channel part.

Legend: N batch, C channels, H rows, W columns, P = H W positions.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class NAMChannel(AttentionModule):
    """NAM: Normalization-based Attention Module, Liu et al., arXiv 2111.12419; its channel part.

    Its gate differs from position to position, so it is not a channel gate.

    Args:
        channels: C of the map.

    Shape:
        (N, C, H, W) -> (N, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "NAMChannel", self.channels)
        weight = share(self.bn.weight).to(x.dtype).view(-1, 1, 1)  # (C, 1, 1)
        return x * self.gated("channels", torch.sigmoid(self.bn(x) * weight))


class NAMSpatial(AttentionModule):
    """NAM: Normalization-based Attention Module, Liu et al., arXiv 2111.12419; its spatial part.

    Args:
        channels: C of the map.
        size: (H, W) of the only maps that it accepts, in positions.

    Shape:
        (N, C, H, W) -> (N, C, H, W) with the H, W of `size`.

    Raises:
        ValueError: `size` is not two whole numbers from 1.
    """

    needs_size = True

    def __init__(self, channels: int, *, size: tuple[int, int]) -> None:
        super().__init__(channels, size=tuple(size))
        parts.require_size("NAMSpatial", size)
        self.size = (size[0], size[1])
        self.bn = nn.BatchNorm1d(size[0] * size[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "NAMSpatial", self.channels, self.size)
        weight = share(self.bn.weight).to(x.dtype)  # (P,)
        normed = self.bn(x.flatten(2).transpose(1, 2)).transpose(1, 2)  # (N, C, P)
        gate = torch.unflatten(torch.sigmoid(normed * weight), 2, self.size)  # (N, C, H, W)
        return x * self.gated("positions", gate)


class NAM(AttentionModule):
    """NAM: Normalization-based Attention Module, Liu et al., arXiv 2111.12419; channel, then spatial.

    Args:
        channels: C of the map.
        size: (H, W) of the only maps that it accepts, in positions.

    Shape:
        (N, C, H, W) -> (N, C, H, W) with the H, W of `size`.

    Raises:
        ValueError: `size` is not two whole numbers from 1.
    """

    needs_size = True

    def __init__(self, channels: int, *, size: tuple[int, int]) -> None:
        super().__init__(channels, size=tuple(size))
        self.channel = NAMChannel(channels)
        self.spatial = NAMSpatial(channels, size=size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map by channel, then by position, (N, C, H, W) -> (N, C, H, W)."""
        y: torch.Tensor = self.spatial(self.channel(x))
        return y


def sparsity_penalty(model: nn.Module, weight: float) -> torch.Tensor:
    """`weight` times the sum of |scale| over the norms of NAM, to be added to the loss.

    The paper's penalty, on gamma and lambda of the attention modules only, not on the network's own norms.
    The authors use 1e-4 on CIFAR-100 and 1e-3 on ImageNet.

    Args:
        model: Any module, with NAM modules somewhere in it.
        weight: p of the paper, from 0.

    Returns:
        A scalar, (), with a gradient; 0 if there is no NAM module.

    Raises:
        ValueError: `weight` is below 0 or not finite.
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"sparsity_penalty: weight={weight} is not accepted; give a number from 0.")
    scales = [m.bn.weight for m in model.modules() if isinstance(m, NAMChannel | NAMSpatial)]
    if not scales:
        return torch.zeros(())
    return weight * torch.stack([scale.abs().sum().to(scales[0].device) for scale in scales]).sum()


def share(scale: torch.Tensor) -> torch.Tensor:
    """|scale| / sum |scale| as a constant, (F,) -> (F,)."""
    size = scale.detach().abs()
    return size / size.sum().clamp_min(1e-6)
