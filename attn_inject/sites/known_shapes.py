"""The shape that common operations return in a recorded run on meta, without asking torch for it.

On meta, torch computes many shapes in Python: a batch norm takes a millisecond, and most of a recorded run
would be spent on that. Simple cases are answered here; unusual ones, above all wrong shapes, are left to
torch, which raises the right error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

Rule = Callable[..., Any]


def known_shape(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `func` returns for these arguments, on meta and in shape only; None if torch has to compute it."""
    rule = _RULES.get(func)
    if rule is None or not args:
        return None
    x = args[0]
    if type(x) is not torch.Tensor or not x.is_meta:
        return None
    # Most operations return the memory format of their input; an LSTM never does.
    if not x.is_contiguous() and func is not torch.lstm:
        return None
    return rule(*args, **kwargs)


def _like(x: torch.Tensor, *last: int) -> torch.Tensor:
    """A contiguous tensor of the shape of `x`, its last dimension replaced if `last` is given."""
    shape = (*x.shape[:-1], *last) if last else x.shape
    return torch.empty(shape, dtype=x.dtype, device="meta")


def _activation(x: torch.Tensor, *args: Any, inplace: bool = False, **_: Any) -> torch.Tensor | None:
    # The second argument of those that have one by position is `inplace`.
    return x if inplace or True in args else _like(x)


def _gelu(x: torch.Tensor, **_: Any) -> torch.Tensor:
    return _like(x)


def _batch_norm(
    x: torch.Tensor, running_mean: Any, running_var: Any, weight: Any = None, *_: Any, **__: Any
) -> torch.Tensor | None:
    sizes = [t.shape for t in (running_mean, running_var, weight) if t is not None]
    return _like(x) if x.ndim > 1 and all(size == x.shape[1:2] for size in sizes) else None


def _layer_norm(x: torch.Tensor, normalized_shape: Any, *_: Any, **__: Any) -> torch.Tensor | None:
    shape = tuple(normalized_shape)
    return _like(x) if shape and tuple(x.shape[-len(shape) :]) == shape else None


def _group_norm(x: torch.Tensor, num_groups: int, *_: Any, **__: Any) -> torch.Tensor | None:
    return _like(x) if x.ndim > 1 and x.numel() and not x.shape[1] % num_groups else None


def _pointwise(x: torch.Tensor) -> torch.Tensor | None:
    return _like(x) if x.is_floating_point() else None


def _linear(x: torch.Tensor, weight: Any, *_: Any, **__: Any) -> torch.Tensor | None:
    fits = weight.ndim == 2 and weight.dtype == x.dtype and x.ndim > 0 and weight.shape[1] == x.shape[-1]
    return _like(x, weight.shape[0]) if fits else None


def _sum_or_product(x: torch.Tensor, other: Any, **more: Any) -> torch.Tensor | None:
    """Of a tensor with a number, or with a tensor of its type that is at most broadcast to its shape."""
    if more:
        return None
    if isinstance(other, torch.Tensor):
        alike = other.ndim == x.ndim and other.dtype == x.dtype and other.is_meta and other.is_contiguous()
        fits = alike and all(size in (1, full) for size, full in zip(other.shape, x.shape, strict=True))
        return _like(x) if fits else None
    return _like(x) if isinstance(other, int | float) and x.is_floating_point() else None


def _lstm(x: torch.Tensor, state: Any, weights: Any, biases: Any, *rest: Any) -> tuple[Any, ...] | None:
    """Output and last states of a batch; packed sequences have other arguments."""
    if not isinstance(biases, bool) or len(rest) != 5 or x.ndim != 3:
        return None
    _, _, _, is_bidirectional, is_batch_first = rest
    hidden, cell = state
    # Computed with time first, and returned in the requested order.
    steps = _like(x.transpose(0, 1) if is_batch_first else x, (1 + is_bidirectional) * hidden.shape[-1])
    return steps.transpose(0, 1) if is_batch_first else steps, _like(hidden), _like(cell)


_RULES: dict[Any, Rule] = {
    F.batch_norm: _batch_norm,
    F.gelu: _gelu,
    F.group_norm: _group_norm,
    F.hardsigmoid: _activation,
    F.hardswish: _activation,
    F.layer_norm: _layer_norm,
    F.linear: _linear,
    F.relu: _activation,
    F.relu6: _activation,
    F.silu: _activation,
    torch.Tensor.add: _sum_or_product,
    torch.Tensor.mul: _sum_or_product,
    torch.Tensor.sigmoid: _pointwise,
    torch.lstm: _lstm,
    torch.sigmoid: _pointwise,
}
