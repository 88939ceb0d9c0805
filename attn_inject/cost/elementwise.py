"""What flops do not count: elementwise operations, and the bytes that kernels read and write.

A gate costs few flops and much memory traffic: it reads a whole map to pool it, and reads and writes it again
to multiply. Every kernel is counted except convolutions and matrix products, which are in flops:

- one operation for each element that it reads or writes, whichever are more; none if it only copies numbers,
- the bytes of what it reads and of what it writes, in float32, as if nothing were fused or cached.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from attn_inject.cost.cost import Cost

_BYTES = 4  # of a float32
# Their work is in flops.
_PRODUCTS = frozenset(
    ("convolution", "_convolution", "mm", "addmm", "bmm", "baddbmm", "addmv", "mv", "dot", "linear", "matmul")
)
# They neither read nor write what their arguments hold.
_FREE = frozenset(
    (
        *("alias", "detach", "lift_fresh", "empty", "empty_like", "new_empty", "new_empty_strided"),
        *("zeros_like", "ones_like", "_unsafe_view"),
    )
)
# They only copy numbers.
_MOVES = frozenset(
    (
        *("clone", "_to_copy", "copy_", "cat", "stack", "index", "index_select", "gather", "roll", "flip"),
        *("constant_pad_nd", "reflection_pad2d", "replication_pad2d", "repeat", "im2col", "embedding"),
        *("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"),
        *("scatter", "slice_scatter"),
    )
)
# What they return besides the result is written only in training.
_SPARING = frozenset({"native_batch_norm", "_native_batch_norm_legit_no_training"})


class Tally:
    """Adds up what kernels cost beyond flops, by the module in whose forward they run."""

    def __init__(self) -> None:
        self._scopes: list[str] = [""]
        self._own: dict[str, Cost] = defaultdict(Cost)

    def watch(self, modules: Mapping[str, nn.Module]) -> None:
        """Follow the forwards of modules, given by name."""
        for name, module in modules.items():
            module.register_forward_pre_hook(lambda _module, _inputs, name=name: self._scopes.append(name))
            module.register_forward_hook(lambda _module, _inputs, _outputs: self._leave())

    @property
    def scope(self) -> str:
        """The module whose forward runs now, by name."""
        return self._scopes[-1]

    def _leave(self) -> None:
        self._scopes.pop()

    def add(self, func: Any, read: Sequence[tuple[torch.Tensor, int]], results: Sequence[Any]) -> None:
        """Count one kernel.

        Args:
            func: The operation.
            read: Its tensor arguments, and how many stored elements each of them is read from.
            results: What it returned.
        """
        kind = func.overloadpacket.__name__
        if kind in _PRODUCTS or kind in _FREE:
            return
        if kind in _SPARING:
            results = results[:1]
        written = [tensor.numel() for tensor in results if isinstance(tensor, torch.Tensor)]
        largest = max([*written, *(tensor.numel() for tensor, _ in read)], default=0)
        elements = sum(written) + sum(stored for _, stored in read)
        self._own[self._scopes[-1]] += Cost(
            gate_operations=0 if kind in _MOVES else largest, gate_bytes=_BYTES * elements
        )

    def by_module(self) -> dict[str, Cost]:
        """The sums of every module, its children included; "" is the whole."""
        totals: dict[str, Cost] = defaultdict(Cost)
        for name, cost in self._own.items():
            parts = name.split(".") if name else []
            for end in range(len(parts) + 1):
                totals[".".join(parts[:end])] += cost
        return totals
