"""Sums over the window around each position, each position with weights of its own.

Call `windows.weighed(...)` through the module, so that fx keeps it as one call.

Legend: N batch, A and B what stands before the positions, H rows, W columns, k side of the window.
"""

from __future__ import annotations

import math

import torch
import torch.fx
import torch.nn.functional as F


def weighed(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The sum over each window of its values by its weights; zeros outside the map.

    (N, A, B, H, W), (N, A or 1, B or 1, k k, H, W) -> (N, A, B, H, W).
    """
    size = math.isqrt(weights.shape[3])
    if _is_exporting():
        return (unfolded(values, size) * weights).sum(3)
    rows, columns = values.shape[3], values.shape[4]
    padded = F.pad(values, (size // 2,) * 4)
    # As many terms as positions in the window, so half precision is added up in single.
    total = torch.zeros_like(values, dtype=torch.promote_types(values.dtype, torch.float32))
    for at in range(size * size):
        a, b = at // size, at % size
        total = total + weights[:, :, :, at] * padded[:, :, :, a : a + rows, b : b + columns]
    return total.to(values.dtype)


def _is_exporting() -> bool:
    # torch 2.6 does not distinguish exporting from compiling; the longer graph is correct, too.
    asked = getattr(torch.compiler, "is_exporting", None)
    return asked is not None and bool(asked())


def unfolded(values: torch.Tensor, size: int) -> torch.Tensor:
    """Every window, copied, for an exported graph that would otherwise have hundreds of nodes.

    (N, A, B, H, W) -> (N, A, B, k k, H, W).
    """
    shape = values.shape
    flat = F.unfold(values.flatten(1, 2), size, padding=size // 2)  # (N, A B k k, H W)
    return flat.reshape(-1, shape[1], shape[2], size * size, shape[3], shape[4])


torch.fx.wrap("weighed")
