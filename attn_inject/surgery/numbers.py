"""Numbers and switches of a block that are constants in its traced body.

`x * self.scale` is traced to `x * 0.1`. Such attributes are found by changing each one on a copy and tracing
again; the generated code then refuses to run if one of them has changed.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import fx, nn

from attn_inject.models.clone import to_meta

_ATOMS = (bool, int, float, str)
Path = tuple[str, ...]


def constants(
    block: nn.Module, graph: fx.Graph, trace: Callable[[nn.Module], fx.Graph]
) -> Mapping[Path, str]:
    """The attributes that a traced body depends on, with their values.

    Args:
        block: The block; a copy of it is changed and traced.
        graph: Its traced body.
        trace: Traces a block as `graph` was.
    """
    candidates = dict(_candidates(block))
    if not candidates:
        return {}
    copy = to_meta(block)
    text = str(graph)
    found = {}
    for path, value in candidates.items():
        holder = follow(copy, path[:-1])
        _set(holder, path[-1], _changed(value))
        try:
            depends = str(trace(copy)) != text
        except Exception:
            depends = True
        _set(holder, path[-1], value)
        if depends:
            found[path] = repr(value)
    return found


def follow(block: Any, path: Path) -> Any:
    """The value at the end of a path of attributes."""
    for name in path:
        block = getattr(block, name)
    return block


def _candidates(block: nn.Module) -> Iterator[tuple[Path, Any]]:
    """Numbers, texts and switches that a block's methods read: its own, its children's, its options'."""
    read = _names_read(type(block))
    for name, value in _readable(block, read):
        if _is_plain(value):
            yield (name,), value
        elif isinstance(value, nn.Module) or hasattr(value, "__dict__"):
            yield from (((name, key), item) for key, item in _readable(value, read) if _is_plain(item))


def _readable(holder: Any, read: frozenset[str]) -> Iterator[tuple[str, Any]]:
    own = {**holder._modules, **vars(holder)} if isinstance(holder, nn.Module) else vars(holder)
    shared = {
        key: value
        for cls in type(holder).__mro__
        if cls not in (nn.Module, object) and isinstance(holder, nn.Module)
        for key, value in vars(cls).items()
        if not isinstance(value, types.FunctionType | property | classmethod | staticmethod)
    }
    for key, value in {**shared, **own}.items():
        if key in read and key != "training":
            yield key, value


def _names_read(cls: type) -> frozenset[str]:
    """Every name that the methods of a class mention, except those that construct it."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base in (nn.Module, object):
            continue
        for key, member in vars(base).items():
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            function = getattr(function, "__wrapped__", function)
            if key != "__init__" and isinstance(function, types.FunctionType):
                names |= _names_in(function.__code__)
    return frozenset(names)


def _names_in(code: types.CodeType) -> set[str]:
    names = set(code.co_names) | {text for text in code.co_consts if isinstance(text, str)}
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            names |= _names_in(inner)
    return names


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_is_plain, value))
    if isinstance(value, dict):
        return bool(value) and all(map(_is_plain, value.values()))
    return type(value) in _ATOMS


def _changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1 if value == value and abs(value) != float("inf") else 0.5
    if isinstance(value, str):
        return f"{value}_"
    if isinstance(value, dict):
        return {key: _changed(item) for key, item in value.items()}
    return type(value)(map(_changed, value)) if type(value) in (list, tuple) else tuple(map(_changed, value))


def _set(holder: Any, name: str, value: Any) -> None:
    # Bypasses the class's own assignment, such as that of a frozen dataclass.
    object.__setattr__(holder, name, value)
