"""A copy of a model with every tensor replaced: the structure is kept, the weights are not copied."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

# What deepcopy hands on unchanged; looking inside would walk the whole interpreter.
_SHARED_BY_DEEPCOPY = type | types.FunctionType | types.BuiltinFunctionType | types.ModuleType


def shadow(model: nn.Module, replace: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """A deep copy of `model` in which `replace(tensor)` stands for every tensor.

    Parameters stay parameters and keep `requires_grad`; buffers stay buffers; a tensor that is used in
    two places is replaced once. Tensors in plain attributes, also inside lists, dictionaries and objects,
    are replaced too. Uninitialised (lazy) parameters are copied.

    Args:
        model: Any module; it is not changed, and none of its tensors is copied.
        replace: Given a tensor, the one of the copy.
    """
    memo: dict[int, Any] = {}
    for tensor in _tensors(model, set()):
        if isinstance(tensor, nn.Parameter):
            data = replace(tensor).detach()
            memo[id(tensor)] = nn.Parameter(data, requires_grad=tensor.requires_grad)
        else:
            memo[id(tensor)] = replace(tensor)
    return copy.deepcopy(model, memo)


def to_meta(model: nn.Module) -> nn.Module:
    """A copy of `model` on the meta device: shapes and dtypes without memory."""
    return shadow(model, lambda tensor: torch.empty_like(tensor, device="meta"))


def _tensors(value: Any, seen: set[int]) -> Iterator[torch.Tensor]:
    """Every tensor that a deep copy of `value` would copy, once each."""
    if id(value) in seen or isinstance(value, _SHARED_BY_DEEPCOPY):
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        if not is_lazy(value):
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item, seen)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _tensors(item, seen)
    elif isinstance(value, types.MethodType):
        yield from _tensors(value.__self__, seen)
    elif hasattr(value, "__dict__"):
        yield from _tensors(vars(value), seen)
