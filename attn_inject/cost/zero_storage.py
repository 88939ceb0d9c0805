"""A model without weights in memory that still runs: every tensor is one zero, expanded to its shape.

fvcore counts by tracing a forward, which fails on meta tensors (`torch.jit.trace` turns their sizes into
tensors). Zeros on the CPU can be traced, and are valid indices for models that keep index buffers.
"""

from __future__ import annotations

import torch
from torch import nn

from attn_inject.models.clone import clone_with


def zero_storage_copy(model: nn.Module, *, dtype: torch.dtype | None = None) -> nn.Module:
    """A copy of `model` on the CPU whose parameters and buffers take no memory.

    Args:
        model: Any module on any device, meta included; it is not changed.
        dtype: What floating tensors become; None keeps each tensor's own.
    """

    def replace(tensor: torch.Tensor) -> torch.Tensor:
        kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        return torch.zeros((), dtype=kind, device="cpu").expand(tensor.shape)

    return clone_with(model, replace)
