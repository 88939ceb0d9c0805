"""A copy of a model with every tensor replaced: the structure is kept, the weights are not copied."""

from __future__ import annotations

import copy
import gc
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

_Model = TypeVar("_Model", bound=nn.Module)

# What deepcopy does not copy; looking inside would walk the whole interpreter.
_ATOMS = frozenset({type(None), bool, int, float, str})
_SHARED_BY_DEEPCOPY = type | types.FunctionType | types.BuiltinFunctionType | types.ModuleType


def clone_with(model: _Model, replace: Callable[[torch.Tensor], torch.Tensor]) -> _Model:
    """A deep copy of `model` in which `replace(tensor)` takes the place of every tensor.

    Parameters stay parameters and keep `requires_grad`; buffers stay buffers; a tensor that is used in
    two places is replaced once. Tensors in plain attributes, also inside lists, dictionaries and objects,
    are replaced too. Uninitialised (lazy) parameters are copied.

    Args:
        model: Any module; it is not changed, and none of its tensors is copied.
        replace: From a tensor to the copy's tensor.
    """
    with uncollected():
        memo = _empty_tables(model)
        for tensor in _tensors(model):
            if isinstance(tensor, nn.Parameter):
                data = replace(tensor).detach()
                memo[id(tensor)] = nn.Parameter(data, requires_grad=tensor.requires_grad)
            else:
                memo[id(tensor)] = replace(tensor)
        return copy.deepcopy(model, memo)


def _empty_tables(model: nn.Module) -> dict[int, Any]:
    """A memo for `deepcopy`: copying the ten empty tables of hooks in every module is half of its work."""
    return {
        id(value): OrderedDict()
        for module in model.modules()
        for value in vars(module).values()
        if type(value) is OrderedDict and not value
    }


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection within.

    Many small objects that all stay in use trigger it again and again, and with torch and its libraries in
    memory a full collection takes longer than copying a model.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def deep_copy(model: _Model) -> _Model:
    """A deep copy with tensors of its own.

    torch refuses to copy a tensor with a graph, such as `torch.nn.utils.prune` and the old `weight_norm`
    leave in a layer after a forward. It is copied without its graph, and the next forward computes it again.
    """
    try:
        return copy.deepcopy(model, _empty_tables(model))
    except RuntimeError:
        return clone_with(model, lambda tensor: tensor.detach().clone())


def to_meta(model: nn.Module) -> nn.Module:
    """A copy of `model` on the meta device: shapes and dtypes without memory."""
    return clone_with(model, _empty_on_meta)


def _empty_on_meta(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.layout is not torch.strided:
        return torch.empty_like(tensor, device="meta")
    # For a tensor on meta, ten times as fast as empty_like.
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _tensors(root: Any) -> Iterator[torch.Tensor]:
    """Every tensor that a deep copy of `root` would copy, once each."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if type(value) in _ATOMS or id(value) in seen or isinstance(value, _SHARED_BY_DEEPCOPY):
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            if not is_lazy(value):
                yield value
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            waiting.extend(value)
        elif isinstance(value, types.MethodType):
            waiting.append(value.__self__)
        elif hasattr(value, "__dict__"):
            waiting.append(vars(value))
