"""A model without weights in memory that still runs: every tensor is one zero, expanded to its shape.

fvcore counts by tracing a forward, which fails on meta tensors (`torch.jit.trace` turns their sizes into
tensors). Zeros on the CPU can be traced, and are valid indices for models that keep index buffers.
"""

from __future__ import annotations

import torch
from torch import nn

from attn_inject.models.clone import clone_with


def zero_storage_copy(model: nn.Module, *, dtype: torch.dtype | None = None) -> nn.Module:
    """A copy of `model` on the CPU whose parameters take no memory, and its buffers little.

    A forward may write to a buffer in place, which one number expanded to a shape does not allow. The system
    provides the memory of zeros only where something is written.

    Args:
        model: Any module on any device, meta included; it is not changed.
        dtype: What floating tensors become; None keeps each tensor's own.
    """

    buffers = {id(buffer) for buffer in model.buffers()}

    def replace(tensor: torch.Tensor) -> torch.Tensor:
        kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        if id(tensor) in buffers:
            return torch.zeros(tensor.shape, dtype=kind, device="cpu")
        return torch.zeros((), dtype=kind, device="cpu").expand(tensor.shape)

    return clone_with(model, replace)
