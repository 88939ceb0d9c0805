"""The peak memory of a training step: weights, gradients and what the forward keeps for the backward.

Tensors are counted, not a machine's allocator: the step runs on the meta device, and every storage is
recorded when an operation makes it and when its last tensor is freed. So the figure is the same everywhere
and counting takes no memory; it leaves out an optimizer's state and the scratch space of kernels.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from attn_inject.errors import ModelError
from attn_inject.models.clone import clone_with
from attn_inject.models.inputs import InputSpec


def training_step_bytes(
    model: nn.Module, inputs: InputSpec, *, batch_size: int = 2, dtype: torch.dtype = torch.float32
) -> int:
    """Peak bytes of one forward and backward in training mode; the model is not changed.

    Args:
        model: Any module on any device, meta included.
        inputs: How to call it.
        batch_size: Samples in the batch; batch norms need two.
        dtype: Of weights and activations.

    Raises:
        ModelError: The model does not train on these inputs, or reads values that are never computed.
    """

    def on_meta(tensor: torch.Tensor) -> torch.Tensor:
        kind = dtype if tensor.is_floating_point() else tensor.dtype
        return torch.empty(tensor.shape, dtype=kind, device="meta")

    copy = clone_with(model, on_meta).train().requires_grad_(True)
    args, kwargs = pytree.tree_map_only(
        torch.Tensor, on_meta, inputs.make(batch_size, device="meta", training=True)
    )
    ledger = _Ledger()
    for tensor in pytree.tree_leaves((list(copy.parameters()), list(copy.buffers()), args, kwargs)):
        if isinstance(tensor, torch.Tensor):
            ledger.note(tensor)
    try:
        with ledger:
            _step(copy, args, kwargs)
    except Exception as error:
        raise ModelError(
            f"A training step of {type(model).__name__} cannot run on shapes alone. "
            f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}",
            hint="Leave out memory (--memory), or measure it on your device.",
        ) from error
    return ledger.peak


def _step(model: nn.Module, args: Any, kwargs: Any) -> None:
    leaves = pytree.tree_leaves(model(*args, **kwargs))
    outputs = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
    del leaves
    torch.autograd.backward([output.sum() for output in outputs])


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of the storages that are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and record its result."""
        result = func(*args, **(kwargs or {}))
        for leaf in pytree.tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.note(leaf)
        return result

    def note(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage once, until it is freed."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive:
            return
        self._alive.add(key)
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self._now -= size
