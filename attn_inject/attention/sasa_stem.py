"""Stand-Alone Self-Attention in Vision Models (arXiv 1906.05909), section 3.3: attention instead of the stem.

    q = W_q x      k = W_k x                            I -> C each, cut into heads of D = C / heads channels
    v_ab = (sum over m of p(a, b, m) W_V^m) x_ab        for the positions ab of the 4 x 4 block around ij
    p(a, b, m) = softmax over m of (row_a + column_b) . nu_m
    y_ij = sum over ab of softmax_ab(q_ij . k_ab) v_ab  for each head by itself

Blocks do not overlap. The norm and activation of the replaced stem follow, then a 4 x 4 max pool of stride 4.

Parameters: 2 I C + M I C + (8 + M) C.

Deviations: none known. The paper does not give the number of mixtures (M) and heads of the stem, nor the
initialisation of the embeddings: ours has M = 4, like other implementations, the 8 heads of the other layers,
and a standard deviation of 1 / sqrt(C).

Legend: N batch, I input channels, C output channels, H rows, W columns, h, w rows and columns of blocks,
E heads, D channels of a head, M mixtures, s = 16 positions of a block.
"""

from __future__ import annotations

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.errors import ModelError

WINDOW = 4


class SASAStem(nn.Module):
    """Stand-Alone Self-Attention in Vision Models, Ramachandran et al., arXiv 1906.05909, section 3.3.

    Args:
        in_channels: I, of the image.
        channels: C, of the map.
        heads: E, a divisor of C.
        mixtures: M, how many value projections each position mixes.

    Shape:
        (N, I, H, W) -> (N, C, H, W), H and W multiples of 4.

    Raises:
        ValueError: `heads` does not divide C, or `mixtures` is not a whole number from 1.
    """

    def __init__(self, in_channels: int, channels: int, *, heads: int = 8, mixtures: int = 4) -> None:
        super().__init__()
        parts.require_divisor("SASAStem", "heads", heads, channels)
        parts.require_count("SASAStem", "mixtures", mixtures)
        self.heads = heads
        self.query = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.key = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.values = nn.ModuleList(nn.Conv2d(in_channels, channels, 1, bias=False) for _ in range(mixtures))
        deviation = channels**-0.5
        self.row = nn.Parameter(torch.randn(WINDOW, channels) * deviation)
        self.column = nn.Parameter(torch.randn(WINDOW, channels) * deviation)
        self.mixture = nn.Parameter(torch.randn(mixtures, channels) * deviation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each position attends to its block, (N, I, H, W) -> (N, C, H, W)."""
        height, width = x.shape[2], x.shape[3]
        if height % WINDOW or width % WINDOW:
            raise ModelError(
                f"The attention stem takes images with sides that {WINDOW} divides, not {height}x{width}.",
                hint="Resize the image, or leave out --stem.",
            )
        q, k = self._blocks(self.query(x)), self._blocks(self.key(x))  # (N, E, D, h, w, s)
        v = self._blocks(self._mixed(x))
        weights = torch.softmax(torch.einsum("nedhws,nedhwt->nehwst", q, k), dim=-1)
        y = torch.einsum("nehwst,nedhwt->nedhws", weights.to(v.dtype), v)
        y = y.reshape(*y.shape[:-1], WINDOW, WINDOW).transpose(4, 5)  # (N, E, D, h, 4, w, 4)
        made: torch.Tensor = y.reshape(x.shape[0], -1, height, width).to(x.dtype)
        return made

    def _mixed(self, x: torch.Tensor) -> torch.Tensor:
        """The values, each position with its own mixture, (N, I, H, W) -> (N, C, H, W)."""
        scores = (self.row.unsqueeze(1) + self.column) @ self.mixture.t()  # (4, 4, M)
        shares = torch.softmax(scores, dim=-1).to(x.dtype)
        tiles = shares.repeat(x.shape[2] // WINDOW, x.shape[3] // WINDOW, 1)  # (H, W, M)
        mixed: torch.Tensor = self.values[0](x) * tiles[..., 0]
        for at, value in enumerate(self.values[1:], 1):
            mixed = mixed + value(x) * tiles[..., at]
        return mixed

    def _blocks(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, E, D, h, w, s)."""
        n, c, h, w = x.shape
        cut = x.reshape(n, self.heads, c // self.heads, h // WINDOW, WINDOW, w // WINDOW, WINDOW)
        return cut.transpose(4, 5).flatten(5)
