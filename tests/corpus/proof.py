"""Whether two models compute the same: every tensor of their outputs, and their state after training mode."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree


def randomize(model: nn.Module, seed: int = 0) -> None:
    """Set every parameter of at most one dimension, and every gain, to U(0.5, 1.5).

    Norms and scales that start at zero would hide a block's branch from every comparison.
    """
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim <= 1 or name.endswith("gain"):
            nn.init.uniform_(parameter, 0.5, 1.5)


def outputs(model: nn.Module, example: Any, *, training: bool, seed: int = 0) -> list[torch.Tensor]:
    """All tensors of one forward, with every random generator at `seed` and the example left as it was."""
    model.train(training)
    copied = clone(example)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    with torch.no_grad():
        if isinstance(copied, dict):
            result = model(**copied)
        else:
            result = model(*copied) if isinstance(copied, tuple | list) else model(copied)
    return list(tensors(result))


def clone(example: Any) -> Any:
    """A copy for one use; a model may write into its input."""
    return pytree.tree_map_only(torch.Tensor, torch.clone, example)


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor in nested tuples, mappings and objects with fields, in their order."""
    if isinstance(value, torch.Tensor):
        yield value.detach()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from tensors(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from tensors(getattr(value, field.name))


def difference(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> str:
    """What differs most, or "" if both are the same bits; a NaN is like a NaN."""
    if len(ours) != len(theirs):
        return f"{len(ours)} tensors instead of {len(theirs)}"
    if not theirs:
        return "no tensor came out"
    shapes = [
        (tuple(a.shape), tuple(b.shape)) for a, b in zip(ours, theirs, strict=True) if a.shape != b.shape
    ]
    if shapes:
        return "shape {} instead of {}".format(*shapes[0])
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if not _same(a, b)]
    if not pairs:
        return ""
    largest = max(float((a.double() - b.double()).abs().nan_to_num(nan=float("inf")).max()) for a, b in pairs)
    return f"differs by up to {largest:.2e}"


def _same(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    if torch.equal(ours, theirs):
        return True
    return theirs.is_floating_point() and bool(((ours == theirs) | (ours.isnan() & theirs.isnan())).all())


def state_difference(ours: nn.Module, theirs: nn.Module) -> str:
    """The first parameter or buffer of `theirs` that `ours` has not with the same bits, or ""."""
    mine = ours.state_dict()
    for key, tensor in theirs.state_dict().items():
        if not isinstance(tensor, torch.Tensor):
            continue
        if key not in mine:
            return f"{key} is missing"
        if not _same(mine[key], tensor):
            return f"{key} differs"
    return ""


def is_finite(values: list[torch.Tensor]) -> bool:
    """Whether no number is infinite or NaN, without which an equality says little."""
    return all(bool(value.isfinite().all()) for value in values if value.is_floating_point())
