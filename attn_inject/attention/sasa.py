"""Stand-Alone Self-Attention in Vision Models (arXiv 1906.05909): attention instead of a convolution.

    q = W_q x      k = W_k x      v = W_v x            C -> C each, cut into heads of D = C / heads channels
    l_ab = q_ij . k_ab + q_ij . r_(a-i, b-j)           for the positions ab of the k x k window around ij
    y_ij = sum over ab of softmax_ab(l) v_ab           for each head by itself

r concatenates a vector for the row offset, D / 2, and one for the column offset, D / 2; all heads share them.

Parameters: 3 C C + k D.

Deviations: none. As in the paper there are no biases and no division by the root of D, and W_q, W_k, W_v mix
all channels, as its parameter counts require. Positions outside the map belong to no window. The paper does
not say how r is initialised: ours has the standard deviation 1 / sqrt(D).

The window's keys and values are never copied: each of the k k offsets is a view of the padded map, forward
and backward, so only the k k weights of each position and head are kept. An exported graph copies them.

Legend: N batch, C channels, H rows, W columns, E heads, D channels of a head, k kernel size,
H', W' the padded H + k - 1 and W + k - 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule
from attn_inject.request import Option


class SASA(AttentionModule):
    """Stand-Alone Self-Attention in Vision Models, Ramachandran et al., arXiv 1906.05909.

    Args:
        channels: C of the map.
        kernel_size: k, rows and columns of the window, in positions.
        heads: E; C must be a multiple of 2 E.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `kernel_size` is not an odd whole number, or C is not a multiple of 2 x `heads`.
    """

    def __init__(self, channels: int, *, kernel_size: int = 7, heads: int = 8) -> None:
        super().__init__(channels, kernel_size=kernel_size, heads=heads)
        parts.require_odd("SASA", "kernel_size", kernel_size)
        parts.require_count("SASA", "heads", heads)
        accepts = f"a number whose double divides {channels} channels"
        parts.require(channels % (2 * heads) == 0, "SASA", "heads", heads, accepts)
        self.kernel_size, self.heads = kernel_size, heads
        width = channels // heads
        self.query = nn.Conv2d(channels, channels, 1, bias=False)
        self.key = nn.Conv2d(channels, channels, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.row = nn.Parameter(torch.randn(kernel_size, width // 2) * width**-0.5)
        self.column = nn.Parameter(torch.randn(kernel_size, width // 2) * width**-0.5)

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """The largest number of heads, at most the one asked for, whose double divides C."""
        asked = options["heads"]
        if channels % 2 or not parts.is_count(asked):
            return dict(options)
        return {**options, "heads": parts.largest_divisor(channels // 2, int(asked))}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each position attends to the window around it, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "SASA", self.channels)
        q, k, v = (
            torch.unflatten(conv(x), 1, (self.heads, -1)) for conv in (self.query, self.key, self.value)
        )
        rows, columns = relative(q, self.row, self.column)  # (N, E, k, H, W) twice
        return parts.laid_out(attend(q, k, v, rows, columns).flatten(1, 2), x)


def relative(q: torch.Tensor, row: torch.Tensor, column: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The offsets' part of the logits: minus infinity where they leave the map.

    (N, E, D, H, W), (k, D/2), (k, D/2) -> (N, E, k, H, W), (N, E, k, H, W).
    """
    of_rows, of_columns = q.chunk(2, dim=2)  # (N, E, D/2, H, W)
    rows = torch.einsum("nedhw,kd->nekhw", of_rows, row.to(q.dtype))
    columns = torch.einsum("nedhw,kd->nekhw", of_columns, column.to(q.dtype))
    outside_rows = outside(row.shape[0], q.shape[3], q).unsqueeze(2)  # (k, H, 1)
    outside_columns = outside(row.shape[0], q.shape[4], q).unsqueeze(1)  # (k, 1, W)
    return rows + outside_rows, columns + outside_columns


def outside(kernel_size: int, length: int, like: torch.Tensor) -> torch.Tensor:
    """0 for the offsets that stay on an axis, minus infinity for those that leave it, (k, length)."""
    at = torch.arange(length, device=like.device)
    to = at + torch.arange(kernel_size, device=like.device).unsqueeze(1) - kernel_size // 2
    inside = (to >= 0) & (to < length)
    return torch.zeros(kernel_size, length, dtype=like.dtype, device=like.device).masked_fill(
        ~inside, float("-inf")
    )


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """(N, E, D, H, W) three times, (N, E, k, H, W) twice -> (N, E, D, H, W)."""
    if _is_exporting():
        return attend_unfolded(q, k, v, rows, columns)
    y: torch.Tensor = _WindowAttention.apply(q, k, v, rows, columns)
    return y


def attend_unfolded(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """The same in few operations with k k copies, for an exported graph, which would have thousands of nodes.

    (N, E, D, H, W) three times, (N, E, k, H, W) twice -> (N, E, D, H, W).
    """
    size, shape = rows.shape[2], q.shape
    keys, values = (
        F.unfold(x.flatten(1, 2), size, padding=size // 2).reshape(-1, *shape[1:3], size * size, *shape[3:])
        for x in (k, v)
    )  # (N, E, D, k k, H, W) twice
    positions = (rows.unsqueeze(3) + columns.unsqueeze(2)).flatten(2, 3)  # (N, E, k k, H, W)
    weights = ((q.unsqueeze(3) * keys).sum(2) + positions).softmax(2)
    return (weights.unsqueeze(2) * values).sum(3)


def _is_exporting() -> bool:
    # torch 2.6 does not distinguish exporting from compiling; a graph of thousands of nodes is correct, too.
    asked = getattr(torch.compiler, "is_exporting", None)
    return asked is not None and bool(asked())


class _WindowAttention(torch.autograd.Function):
    """Keeps only the weights; autograd would keep the products of every offset, and pad each gradient."""

    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
    ) -> torch.Tensor:
        q, k, v = q.contiguous(), padded(k, rows), padded(v, rows)
        weights = weigh(q, k, rows, columns)  # (N, E, k k, H, W)
        y = torch.zeros_like(q)
        for at, value in enumerate(windows(v, rows)):
            y.addcmul_(weights[:, :, at : at + 1], value)
        ctx.save_for_backward(q, k, v, weights, y, rows)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        q, k, v, weights, y, rows = ctx.saved_tensors
        size, margin = rows.shape[2], rows.shape[2] // 2
        grad_q, grad_k, grad_v = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        grad_rows, grad_columns = torch.zeros_like(rows), torch.zeros_like(rows)
        shared = (grad * y).sum(2)  # (N, E, H, W)
        slots = zip(
            windows(k, rows), windows(v, rows), windows(grad_k, rows), windows(grad_v, rows), strict=True
        )
        for at, (key, value, grad_key, grad_value) in enumerate(slots):
            weight = weights[:, :, at]  # (N, E, H, W)
            grad_logit = ((grad * value).sum(2) - shared).mul_(weight)  # (N, E, H, W)
            grad_value.addcmul_(grad, weight.unsqueeze(2))
            grad_q.addcmul_(key, grad_logit.unsqueeze(2))
            grad_key.addcmul_(q, grad_logit.unsqueeze(2))
            grad_rows[:, :, at // size].add_(grad_logit)
            grad_columns[:, :, at % size].add_(grad_logit)
        inner = (..., slice(margin, margin + q.shape[3]), slice(margin, margin + q.shape[4]))
        return grad_q, grad_k[inner], grad_v[inner], grad_rows, grad_columns


def weigh(q: torch.Tensor, k: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """The softmax over each window, in the tensor that held the logits.

    (N, E, D, H, W), (N, E, D, H', W'), (N, E, k, H, W) twice -> (N, E, k k, H, W).
    """
    logits = torch.repeat_interleave(rows, rows.shape[2], dim=2)
    for at, key in enumerate(windows(k, rows)):
        logits[:, :, at].add_(columns[:, :, at % rows.shape[2]]).add_((q * key).sum(2))
    weights = logits.sub_(logits.amax(2, keepdim=True)).exp_()
    return weights.div_(weights.sum(2, keepdim=True))


def padded(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Zeros around the map, (N, E, D, H, W) -> (N, E, D, H', W')."""
    margin = rows.shape[2] // 2
    return F.pad(x, (margin, margin, margin, margin))


def windows(x: torch.Tensor, rows: torch.Tensor) -> Iterator[torch.Tensor]:
    """The part of a padded map at each of the k k offsets, as views, (N, E, D, H', W') -> (N, E, D, H, W)."""
    size, height, width = rows.shape[2], rows.shape[3], rows.shape[4]
    for at in range(size * size):
        a, b = at // size, at % size
        yield x[:, :, :, a : a + height, b : b + width]


# fx cannot trace their loops and branches; wrapped, each is one call in a traced graph.
torch.fx.wrap("relative")
torch.fx.wrap("attend")
