"""Non-local Neural Networks (arXiv 1711.07971): each position adds a weighted mean of all others.

    theta = W_t x      phi = pool(W_p x)      g = pool(W_g x)          C -> m = C / r; 2x2 maximum pooling
    u_i = sum over j of softmax_j(theta_i . phi_j / sqrt(m)) g_j
    y = x + BN(W_z u)                                                  m -> C

Parameters: 4 C m + 3 m + 3 C with m = max(1, C // r).

Deviations: the authors' code pools x before W_p and W_g instead of their results. Otherwise none from it; it
has biases, weights of standard deviation 0.01, pooled keys and values, a square root that the paper's
embedded Gaussian does not have (`scale=False` omits it), and a norm whose scale starts at zero, so that y = x
at first. A softmax cancels the bias of W_p: it is kept only to match the published counts, and does not
learn. A side of one position is not pooled.

Legend: N batch, C channels, H rows, W columns, m inner channels, L = H W positions, S pooled positions.
"""

from __future__ import annotations

import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule


class NonLocal(AttentionModule):
    """Non-local Neural Networks, Wang et al., arXiv 1711.07971.

    Args:
        channels: C of the map.
        reduction: r, how many channels share one inner channel.
        pool: Whether keys and values are pooled 2x2.
        scale: Whether the products are divided by the square root of the inner channels.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `reduction` is not a whole number from 1.
    """

    def __init__(self, channels: int, *, reduction: int = 2, pool: bool = True, scale: bool = True) -> None:
        super().__init__(channels, reduction=reduction, pool=pool, scale=scale)
        parts.require_count("NonLocal", "reduction", reduction)
        inner = max(1, channels // reduction)
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1)
        self.bn = nn.BatchNorm2d(channels)
        self.pool, self.factor = pool, None if scale else 1.0
        # With one key, the weights are a constant; of a map of 3 x 3, pooling leaves one.
        self.fewest_positions = 10 if pool else 2
        for conv in (self.theta, self.phi, self.g, self.out):
            nn.init.normal_(conv.weight, std=0.01)
            parts.zero_bias_(conv)
        nn.init.zeros_(self.bn.weight)
        parts.freeze_bias_(self.phi)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add to each position a weighted mean of the others, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "NonLocal", self.channels)
        phi, g = self.phi(x), self.g(x)  # (N, m, H, W)
        if self.pool:
            phi, g = halve(phi), halve(g)
        query, key, value = (t.flatten(2).transpose(1, 2).unsqueeze(1) for t in (self.theta(x), phi, g))
        # (N, 1, L, m), (N, 1, S, m), (N, 1, S, m) -> (N, 1, L, m)
        u = F.scaled_dot_product_attention(query, key, value, scale=self.factor)
        u = torch.unflatten(u.squeeze(1).transpose(1, 2), 2, x.shape[2:])  # (N, m, H, W)
        found: torch.Tensor = self.bn(self.out(u))  # (N, C, H, W)
        return x + found.to(x.dtype)


def halve(x: torch.Tensor) -> torch.Tensor:
    """2x2 maximum pooling; a side of one position stays, (N, C, H, W) -> (N, C, ~H/2, ~W/2)."""
    if parts.is_jit_tracing():
        return F.max_pool2d(x, 2)
    return F.max_pool2d(x, (1 if x.shape[2] == 1 else 2, 1 if x.shape[3] == 1 else 2))


torch.fx.wrap("halve")
