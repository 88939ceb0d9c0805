"""Ordered tokens: those that attend only to the tokens before them, as words in a text encoder do.

A module that mixes positions would let an earlier token see a later one. Ordered tokens are found by
following what makes them: a triangular mask (kept by a module, made by `triu` or `tril`, or by comparing the
positions of queries with those of keys) that reaches attention, or attention that is told to be causal.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from attn_inject.sites.tensors import tensors_of

_TRIANGLES = frozenset({"triu", "tril", "triu_", "tril_"})
_COMPARES = frozenset(
    {f"__{name}__" for name in ("lt", "le", "gt", "ge")}
    | {"lt", "le", "gt", "ge", "less", "less_equal", "greater", "greater_equal"}
)
_SOFTMAX = frozenset({"softmax", "_softmax", "log_softmax"})
_ATTENTION = frozenset(
    {"scaled_dot_product_attention", "multi_head_attention_forward", "_transformer_encoder_layer_fwd"}
)
# The order of their result is that of their first tensor.
_LOOKS = _ATTENTION | {"matmul", "bmm", "baddbmm", "einsum", "__matmul__"}
_POOLS = frozenset({"mean", "sum", "amax", "max", "logsumexp"})
_CAUSAL_AT = 5  # scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal)
_HIDDEN = -1e4  # what masks add where no token may look, or less


class _Mark(enum.Enum):
    MASK = enum.auto()
    TOKENS = enum.auto()


class Order:
    """Follows masks and the tokens behind them through one run."""

    def __init__(self) -> None:
        # The tensor is kept, since an id is only unique while it lives.
        self._marks: dict[int, tuple[torch.Tensor, _Mark]] = {}

    def keep(self, model: nn.Module, copy: nn.Module) -> None:
        """Mark the copies of the triangular masks that the modules of `model` hold."""
        for original, copied in zip(model.modules(), copy.modules(), strict=True):
            mine = {**vars(original), **original._buffers}
            for name, tensor in mine.items():
                other = getattr(copied, name, None)
                if isinstance(tensor, torch.Tensor) and isinstance(other, torch.Tensor) and is_causal(tensor):
                    self._mark(other, _Mark.MASK)

    def has_tokens(self, value: Any) -> bool:
        """Whether any tensor in a value is ordered tokens."""
        return bool(self._marks) and _Mark.TOKENS in self._of(value)

    def note(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> bool:
        """Note what an operation made; true if it is attention that orders its tokens."""
        causal = name in _ATTENTION and _is_told(name, args, kwargs)
        starts = name in _TRIANGLES or (name in _COMPARES and _is_outer(args))
        if not (causal or starts or self._marks):
            return False
        marks = set(self._of(args[:1] if name in _LOOKS else (args, kwargs)))
        looked = name in _SOFTMAX or name in _ATTENTION
        causal = causal or (looked and _Mark.MASK in self._of((args, kwargs)))
        if causal or _Mark.TOKENS in marks:
            mark = _Mark.TOKENS
        elif starts or _Mark.MASK in marks:
            mark = _Mark.MASK
        else:
            return False
        made = output if output is not None else args[:1]
        for _, tensor in tensors_of(made):
            pooled = name in _POOLS and tensor.numel() < max(t.numel() for _, t in tensors_of(args))
            if mark is _Mark.MASK or (tensor.ndim > 2 and tensor.shape[1] > 1 and not pooled):
                self._mark(tensor, mark)
        return causal

    def _of(self, value: Any) -> Iterator[_Mark]:
        return (self._marks[id(tensor)][1] for _, tensor in tensors_of(value) if id(tensor) in self._marks)

    def _mark(self, tensor: torch.Tensor, mark: _Mark) -> None:
        self._marks[id(tensor)] = tensor, mark


def _is_told(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    positional = name == "scaled_dot_product_attention" and len(args) > _CAUSAL_AT and args[_CAUSAL_AT]
    return bool(positional or kwargs.get("is_causal"))


def _is_outer(args: tuple[Any, ...]) -> bool:
    """Whether every item of one tensor, (..., L, 1), is compared with every item of another, (..., 1, M)."""
    shapes = [(1, *item.shape)[-2:] for item in args[:2] if isinstance(item, torch.Tensor) and item.ndim]
    return len(shapes) == 2 and shapes[0] != shapes[1] and all((a > 1) != (b > 1) for a, b in shapes)


def is_causal(tensor: torch.Tensor) -> bool:
    """Whether a tensor (..., L, L) holds one value above the diagonal and another on and below it."""
    if tensor.ndim < 2 or tensor.is_meta or tensor.shape[-1] != tensor.shape[-2] or tensor.shape[-1] < 2:
        return False
    if tensor.numel() != tensor.shape[-1] ** 2 or tensor.layout != torch.strided:
        return False
    square = tensor.detach().reshape(tensor.shape[-2:])
    before, behind = square[-1, 0], square[0, -1]
    told = {before.item(), behind.item()}
    if told not in ({0, 1}, {False, True}) and not min(told) <= _HIDDEN < max(told):
        return False
    triangle = torch.ones_like(square, dtype=torch.bool).tril()
    return torch.equal(square, torch.where(triangle, before, behind))
