"""Functions that generated code calls; they are importable, so that a generated class can be rebuilt."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from attn_inject.errors import FitError
from attn_inject.surgery.numbers import follow


def replace_element(output: Any, place: int | str, value: Any) -> Any:
    """A copy of a tuple, list, dictionary or dataclass with one element replaced; its type is kept.

    Args:
        output: What a block returned.
        place: The index, the key, or `.field`.
        value: The new element.
    """
    if isinstance(output, dict):
        changed = output.copy()
        changed[place] = value
        return changed
    if is_field(place):
        changed = copy.copy(output)
        object.__setattr__(changed, str(place)[1:], value)  # since a frozen dataclass refuses assignments
        return changed
    items = list(output)
    items[int(place)] = value
    if hasattr(output, "_fields"):
        return type(output)(*items)
    return type(output)(items)


def is_field(place: int | str | None) -> bool:
    """Whether a place is the field of a dataclass, written `.field`."""
    return isinstance(place, str) and place.startswith(".")


def require_specialized(block: nn.Module, name: str, value: Any, expected: Any) -> None:
    """Refuse a value other than the traced one for an argument that decides control flow.

    Raises:
        FitError: The block was rewritten for another value.
    """
    same = type(value) is type(expected) and (value == expected or repr(value) == repr(expected) == "nan")
    if value is expected or same:
        return
    raise FitError(
        f"{type(block).__name__} was rewritten for {name}={expected!r} and is called with another value.",
        hint="Inject with placement after (--placement after), which accepts every argument.",
    )


def require_constant(block: nn.Module, path: tuple[str, ...], expected: str) -> None:
    """Refuse to run if an attribute has changed that is a constant in the traced body.

    Raises:
        FitError: The block was rewritten for another value.
    """
    value = repr(follow(block, path))
    if value != expected:
        raise FitError(
            f"{type(block).__name__} was rewritten for self.{'.'.join(path)} = {expected}, "
            f"and it is {value} now.",
            hint="Set it before injecting, or inject with placement after (--placement after).",
        )
