"""Plain data: what a file may hold besides tensors, and the conversion of dataclasses to it and back."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, get_args, get_origin

import torch

from attn_inject.errors import FileError

# A pickle of a few bytes can describe lists so nested that traversing them never ends.
MOST_VALUES = 300_000
DEEPEST = 50

_AGAIN = "The file was damaged or not written by attn-inject; save it again."


def to_plain(value: Any, where: str, *, tensors: bool = False) -> Any:
    """`value` as new dictionaries and lists of str, int, float, bool and None.

    Dataclasses and mappings become dictionaries, tuples become lists. Equal content gives an equal
    pickle: no list occurs twice, and equal strings are one object.

    Args:
        value: The user's, or what a file holds.
        where: Its name in an error, `the recipe`.
        tensors: Whether tensors are kept, too.

    Raises:
        FileError: Something in it is none of these, or it has no end.
    """
    return _Walk(tensors).plain(value, where)


class _Walk:
    def __init__(self, tensors: bool) -> None:
        self._scalars = (bool, int, float, types.NoneType, *([torch.Tensor] if tensors else []))
        self._left = MOST_VALUES

    def plain(self, value: Any, where: str, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > DEEPEST:
            raise FileError(f"{where} holds too many values, or they are nested too deeply.", hint=_AGAIN)
        if isinstance(value, str):
            return sys.intern(str(value))
        if type(value) in self._scalars:
            return value
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = _as_mapping(value)
        if isinstance(value, Mapping):
            return {
                self._key(key, where): self.plain(item, f"{where}: {key}", depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.plain(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
        raise FileError(
            f"{where} is a {type(value).__name__}, which a file cannot keep.",
            hint="Only text, numbers, true, false, None, lists and dictionaries can be kept.",
        )

    def _key(self, key: Any, where: str) -> str:
        if not isinstance(key, str):
            raise FileError(f"{where} has a key that is not text: {key!r:.80}.", hint=_AGAIN)
        return sys.intern(str(key))


def from_plain(data: Any, hint: Any, where: str) -> Any:
    """Plain data converted to an annotation's type: a dataclass with every field checked, a tuple, a scalar.

    Args:
        data: The result of `to_plain`, untrusted.
        hint: A dataclass, or the annotation of a field.
        where: Its name in an error, `recipe`.

    Raises:
        FileError: A field is unknown, missing or of another type; it is named.
    """
    if hint is Any or type(data) is hint:
        return data
    if dataclasses.is_dataclass(hint):
        return _dataclass(data, hint, where)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, typing.Union):
        for choice in inner:
            with contextlib.suppress(FileError):
                return from_plain(data, choice, where)
    elif origin is tuple:
        if isinstance(data, list):
            return tuple(from_plain(item, inner[0], f"{where}[{index}]") for index, item in enumerate(data))
    elif origin is not None and issubclass(origin, Mapping) and isinstance(data, dict):
        return {key: from_plain(item, inner[1], f"{where}: {key}") for key, item in data.items()}
    raise FileError(f"{where} is {data!r:.80}, but must be {_readable(hint)}.", hint=_AGAIN)


def _dataclass(data: Any, cls: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise FileError(f"{where} is {data!r:.80}, but must be a dictionary.", hint=_AGAIN)
    known = _keys(cls)
    for key in data:
        if key not in known:
            raise FileError(f"{where} has an unknown field: {key:.80}.", hint=_AGAIN)
    for key, is_later in known.items():
        if key not in data and not is_later:
            raise FileError(f"{where} lacks a field: {key}.", hint=_AGAIN)
    return _filled(data, cls, where)


def _filled(data: Mapping[str, Any], cls: Any, where: str) -> Any:
    values, hints = {}, _hints(cls)
    for field in dataclasses.fields(cls):
        hint, key = hints[field.name], _key(field)
        if _is_flat(field):
            values[field.name] = _filled(data, hint, where)
        elif key in data:
            values[field.name] = from_plain(data[key], hint, f"{where}: {key}")
    return cls(**values)


def _as_mapping(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by key; a flat field is spread out, later defaults are absent."""
    mapping: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if _is_flat(field):
            mapping |= _as_mapping(item)
        elif not (_is_later(field) and item == field.default):
            mapping[_key(field)] = item
    return mapping


@functools.cache
def _keys(cls: Any) -> dict[str, bool]:
    """The keys of a dataclass, and whether a file may lack each, since it was added later."""
    keys: dict[str, bool] = {}
    for field in dataclasses.fields(cls):
        keys |= _keys(_hints(cls)[field.name]) if _is_flat(field) else {_key(field): _is_later(field)}
    return keys


def _is_later(field: dataclasses.Field[Any]) -> bool:
    return bool(field.metadata.get("later"))


def _is_flat(field: dataclasses.Field[Any]) -> bool:
    return bool(field.metadata.get("flat"))


def _key(field: dataclasses.Field[Any]) -> str:
    """The name of a field in files: format version 1 has another one for some."""
    key: str = field.metadata.get("key", field.name)
    return key


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _readable(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
