"""What operations return in a recorded run on the CPU, where every parameter is zero and so are most results.

A repeated zero takes no memory and no time. Otherwise a detector's backbone on an image of 800 pixels would
compute for seconds and fill gigabytes, since every tensor of a recorded run stays alive. If a result is not
obviously zero, torch computes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils import _pytree as pytree

_SMALL = 2**16  # elements; testing whether so few are all zero takes no time compared with a map


def zeros(shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    """Zeros that take no memory; they cannot be written to."""
    return torch.zeros((), dtype=dtype).expand(shape)


def known_zeros(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """What `func` returns if that is obviously zero; None if torch has to compute it."""
    rule = _RULES.get(func)
    if rule is None or not args or not isinstance(args[0], torch.Tensor):
        return None
    return rule(func, args, kwargs)


def fill(arguments: Any) -> bool:
    """Give the repeated zeros among arguments their own memory, in place; return whether there were any."""
    repeated = [
        leaf for leaf in pytree.tree_leaves(arguments) if _is_repeated(leaf) and not leaf.is_contiguous()
    ]
    for tensor in repeated:
        tensor.set_(torch.zeros(tensor.shape, dtype=tensor.dtype))
    return bool(repeated)


def _layer(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """A layer whose weight and bias are zero."""
    names = ("running_mean", "running_var", "weight", "bias") if func is F.batch_norm else ("weight", "bias")
    given = {**dict(zip(names, args[1:], strict=False)), **kwargs}
    weight, bias = given.get("weight"), given.get("bias")
    is_zero = _is_zero(weight) and (_is_zero(bias) or (bias is None and func is not F.batch_norm))
    return _as_on_meta(func, args, kwargs) if is_zero else None


def _of_zeros(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """A function of one map that maps zeros to zeros."""
    return _as_on_meta(func, args, kwargs) if _is_repeated_zero(args[0]) else None


def _activation(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    x = args[0]
    if not _is_repeated_zero(x):
        return None
    # The second argument of those that have one by position is `inplace`.
    return x if kwargs.get("inplace") or True in args[1:] else zeros(x.shape, x.dtype)


def _sum(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    x, other = args[0], args[1] if len(args) > 1 else None
    if kwargs or not (_is_repeated_zero(x) and _is_zero(other)):
        return None
    return _broadcast(func, x, other)


def _product(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    x, other = args[0], args[1] if len(args) > 1 else None
    if kwargs or not isinstance(other, int | float | torch.Tensor) or not _is_repeated_zero(x):
        return None
    if isinstance(other, torch.Tensor) and not other.isfinite().all():
        return None
    return _broadcast(func, x, other)


def _broadcast(func: Any, x: torch.Tensor, other: Any) -> torch.Tensor | None:
    """Zeros of the shape of both; `x` itself if the operation writes to it."""
    result = _as_on_meta(func, (x, other), {})
    if func not in _IN_PLACE:
        return result
    return x if (result.shape, result.dtype) == (x.shape, x.dtype) else None


def _as_on_meta(func: Any, args: Any, kwargs: Any) -> torch.Tensor:
    args, kwargs = pytree.tree_map_only(torch.Tensor, lambda t: t.to("meta"), (args, kwargs))
    result = func(*args, **kwargs)
    return zeros(result.shape, result.dtype)


def _is_repeated(value: Any) -> bool:
    """Whether a value is a tensor of one floating-point number, repeated."""
    return isinstance(value, torch.Tensor) and value.is_floating_point() and not any(value.stride())


def _is_repeated_zero(value: Any) -> bool:
    return _is_repeated(value) and _is_zero(value)


def _is_zero(value: Any) -> bool:
    """Whether a value is zero everywhere, as far as that can be found quickly."""
    if not isinstance(value, torch.Tensor):
        return isinstance(value, int | float) and value == 0
    if _is_repeated(value) and value.numel():
        return not bool(value[(0,) * value.ndim])
    return value.is_floating_point() and value.numel() <= _SMALL and not bool(value.any())


_LAYERS = (F.batch_norm, F.linear, torch.conv1d, torch.conv2d, torch.conv3d, torch.conv_transpose2d)
_IN_PLACE = frozenset({torch.Tensor.add_, torch.Tensor.__iadd__, torch.Tensor.mul_, torch.Tensor.__imul__})
_RULES: dict[Any, Callable[[Any, tuple[Any, ...], dict[str, Any]], torch.Tensor | None]] = {
    **dict.fromkeys(_LAYERS, _layer),
    **dict.fromkeys((F.gelu, F.hardswish, F.relu, F.relu6, F.silu), _activation),
    **dict.fromkeys((F.interpolate, F.max_pool2d), _of_zeros),
    **dict.fromkeys((torch.Tensor.add, torch.Tensor.add_, torch.Tensor.__iadd__), _sum),
    **dict.fromkeys((torch.Tensor.mul, torch.Tensor.mul_, torch.Tensor.__imul__), _product),
}
