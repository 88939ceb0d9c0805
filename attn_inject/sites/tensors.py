"""The tensors in a value, and what a module holds of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import nn


def tensors_of(value: Any) -> Iterator[tuple[int | str | None, torch.Tensor]]:
    """Every tensor in a value with its outermost index, key or `.field` (None if the value is a tensor)."""
    if isinstance(value, torch.Tensor):
        yield None, value
        return
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    elif is_dataclass(value) and not isinstance(value, type):
        items = ((f".{item.name}", getattr(value, item.name, None)) for item in fields(value))
    for place, item in items:
        for _, tensor in tensors_of(item):
            yield place, tensor


def has_weight(module: nn.Module) -> bool:
    """Whether a module holds a weight matrix or kernel: a parameter with two dimensions larger than 1."""
    return any(sum(size > 1 for size in p.shape) >= 2 for p in module.parameters())


def on_meta(value: Any) -> Any:
    """The same with every tensor on meta."""
    if isinstance(value, torch.Tensor):
        return value if value.is_meta else value.to("meta")
    if isinstance(value, dict):
        return {key: on_meta(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(on_meta(item) for item in value)
    return value


def is_torchs(module: nn.Module) -> bool:
    """Whether a module is one of torch.nn's own."""
    return type(module).__module__.startswith("torch.nn.modules.")
