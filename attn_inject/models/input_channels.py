"""Weights for images of another number of channels, converted as timm converts its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from attn_inject.models.library_errors import library


def with_input_channels(state: Mapping[str, Any], model: nn.Module) -> tuple[dict[str, Any], str]:
    """The same state dict with its first convolution converted to the model's channels, and a sentence.

    Only a first `Conv2d` that differs in nothing but its input channels is converted; otherwise the state
    dict is returned as it is, with an empty text.
    """
    name, module = next(
        ((name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d)), ("", None)
    )
    key = f"{name}.weight" if name else "weight"
    weight = state.get(key)
    if module is None or not isinstance(weight, torch.Tensor) or weight.ndim != 4 or module.groups != 1:
        return dict(state), ""
    (out, had, *kernel), (own_out, has, *own_kernel) = weight.shape, module.weight.shape
    pixels = pixels_a_channel(model)
    if had == has or (out, kernel) != (own_out, own_kernel) or had % pixels or has % pixels:
        return dict(state), ""
    before, after = had // pixels, has // pixels
    converted = _converted(weight, before, after)
    if converted is None or converted.shape != module.weight.shape:
        return dict(state), ""
    return {**state, key: converted}, (
        f"{key} was converted from {before} to {after} input channels, as timm converts its own weights."
    )


def pixels_a_channel(model: nn.Module) -> int:
    """How many pixels of one channel the first convolution reads as channels (TResNet: squares of 4 x 4)."""
    squares = [getattr(m, "bs", 1) for m in model.modules() if type(m).__name__ == "SpaceToDepth"]
    return squares[0] ** 2 if squares else 1


def _converted(weight: torch.Tensor, before: int, after: int) -> torch.Tensor | None:
    adapt = library("timm").models.adapt_input_conv
    try:
        if "base_chans" in inspect.signature(adapt).parameters:
            converted: torch.Tensor = adapt(after, weight, base_chans=before)
            return converted
        # Older versions convert from three channels only.
        return adapt(after, weight) if before == 3 else None
    except NotImplementedError:
        return None
