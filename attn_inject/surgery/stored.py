"""A module's attributes, described so that two states can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

_DEPTH = 4
_TABLES = ("_parameters", "_buffers", "_modules")
_ATOMS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)


class _Same:
    """An object that equals only itself, kept alive so that its address is not reused."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)


def stored(block: nn.Module) -> dict[str, Any]:
    """Every attribute of a module and of its inner modules, by name, class attributes included.

    Tensors are described without their values; `_version` shows writes in place.
    """
    found: dict[str, Any] = {}
    for name, module in block.named_modules():
        for key, value in _attributes(module):
            found[f"{name}.{key}".lstrip(".")] = _described(value, _DEPTH)
    return found


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names whose description differs, including new and missing ones."""
    names = dict.fromkeys((*before, *after))
    return [name for name in names if before.get(name, changes) != after.get(name, changes)]


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    own = vars(module)
    for key, value in own.items():
        if key in _TABLES:
            yield from (value.items() if key != "_modules" else ((key, tuple(value)),))
        elif not key.endswith("_hooks"):
            yield key, value
    for cls in type(module).__mro__:
        if cls is nn.Module:
            break
        for key, value in vars(cls).items():
            if key not in own and not key.startswith("__") and not callable(value):
                yield key, value


def _described(value: Any, depth: int) -> Any:
    if isinstance(value, torch.Tensor):
        graph = value.grad_fn is not None
        known = tuple(value.shape), value.dtype, value.requires_grad, graph, value.device.type
        return ("tensor", _Same(value), _version(value), *known)
    if isinstance(value, _ATOMS):
        return type(value).__name__, repr(value)
    if isinstance(value, nn.Module) or depth == 0:
        return type(value).__name__, _Same(value)
    if isinstance(value, Mapping):
        items = tuple((repr(key), _described(item, depth - 1)) for key, item in value.items())
        return type(value).__name__, items
    if isinstance(value, list | tuple | set | frozenset):
        return type(value).__name__, tuple(_described(item, depth - 1) for item in value)
    if hasattr(value, "tobytes"):
        return type(value).__name__, value.tobytes()
    fields = getattr(value, "__dict__", None)
    if isinstance(fields, dict) and not callable(value):
        items = tuple((key, _described(item, depth - 1)) for key, item in fields.items())
        return type(value).__name__, _Same(value), items
    return type(value).__name__, _Same(value)


def _version(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version
