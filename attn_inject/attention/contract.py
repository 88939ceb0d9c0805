"""What every attention module promises, built in or plugged in.

Legend: N batch, C channels, H rows, W columns.

- The constructor is `(channels, *, option=default, ...)`: options are explicit, never `**kwargs`.
- `forward` takes (N, C, H, W) and returns the same shape, for any N, H, W unless `needs_size` is set.
- A module that gates channels only (`acts_on == "channel"`) has `gate(x)`: (N, C, H, W) -> (N, C, 1, 1),
  and its `forward` is `x * gate(x)`; adapters use it to gate class tokens with the map's own gate.
- An option that does not fit the number of channels raises ValueError in the constructor; `adapt` returns a
  value that fits, so that surgery can use it and report it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from attn_inject.attention.registry import option_parameters
from attn_inject.request import Option


class AttentionModule(nn.Module):
    """Base class of the built-in modules; optional for plug-ins.

    Args:
        channels: C of the map.
        options: The values of the subclass's own named options; kept to be shown by `repr`.

    Attributes:
        acts_on: `channel` if only `gate`'s (N, C, 1, 1) multiplies the map, else `spatial`; an instance
            whose options change its kind overrides it.
        needs_size: Whether the constructor takes `size=(H, W)`, the only size that it then accepts; an
            instance whose options make it accept any size overrides it.
        fewest_positions: How many positions, H * W, a map must have for the module to do anything.
        channels: C of the map; 0 if the subclass did not pass it.
        options: Values by name, as the subclass gave them.

    Raises:
        ValueError: `channels` is not a whole number from 1.
    """

    acts_on: str = "spatial"
    needs_size: bool = False
    fewest_positions: int = 1

    def __init__(self, channels: int | None = None, **options: Any) -> None:
        super().__init__()
        if channels is not None and channels < 1:
            raise ValueError(f"{type(self).__name__}: channels={channels} is not accepted; give 1 or more.")
        self.channels: int = channels or 0
        self.options: dict[str, Any] = options

    @classmethod
    def adapt(cls, channels: int, options: Mapping[str, Option]) -> dict[str, Option]:
        """The options nearest to `options` that fit `channels`; equal to `options` if these fit."""
        return dict(options)

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """What multiplies the map, (N, C, H, W) -> (N, C, 1, 1); channel modules only."""
        raise NotImplementedError(f"{type(self).__name__} has no channel gate")

    def extra_repr(self) -> str:
        """`64, reduction=16, bias=True`."""
        words = [str(self.channels)] if self.channels else []
        return ", ".join(words + [f"{name}={value}" for name, value in self.options.items()])


def option_defaults(module: Callable[..., nn.Module]) -> dict[str, Any]:
    """The options of an attention class and their defaults; `channels` and `size` are not options.

    A required option has the default `inspect.Parameter.empty`.
    """
    return {name: parameter.default for name, parameter in option_parameters(module).items()}


def is_channel_gate(module: nn.Module) -> bool:
    """Whether a module multiplies its map by one number per sample and channel, and nothing else."""
    return getattr(module, "acts_on", "spatial") == "channel" and hasattr(module, "gate")


def needs_size(module: Callable[..., nn.Module]) -> bool:
    """Whether the constructor takes the map's size, `size=(H, W)`."""
    return bool(getattr(module, "needs_size", False))
