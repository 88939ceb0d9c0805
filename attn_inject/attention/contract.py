"""What every attention module promises, built in or plugged in.

Legend: N batch, C channels, H rows, W columns.

- The constructor is `(channels, *, option=default, ...)`: options are explicit, never `**kwargs`.
- `forward` takes (N, C, H, W) and returns the same shape, for any N, H, W unless `needs_size` is set.
- A module that gates channels only (`acts_on == "channel"`) has `gate(x)`: (N, C, H, W) -> (N, C, 1, 1),
  and its `forward` is `x * gate(x)`; adapters use it to gate class tokens with the map's own gate.
- A module that multiplies its map by something else calls `self.gated("rows", gate)` on each of its gates,
  which returns the gate and shows it to whoever watches the module; see `watched`.
- An option that does not fit the number of channels raises ValueError in the constructor; `adapt` returns a
  value that fits, so that surgery can use it and report it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from attn_inject.attention.registry import option_parameters
from attn_inject.request import Option

# Receives the name of a gate and the gate, whose first axis is that of the samples.
Watcher = Callable[[str, torch.Tensor], None]


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
        mixes_positions: Whether the output at one position depends on others, as it does after pooling; False
            lets the module act on tokens without a grid, and on ordered ones.
        fewest_positions: How many positions, H * W, a map must have for the module to do anything.
        channels: C of the map; 0 if the subclass did not pass it.
        options: Values by name, as the subclass gave them.

    Raises:
        ValueError: `channels` is not a whole number from 1.
    """

    acts_on: str = "spatial"
    needs_size: bool = False
    mixes_positions: bool = True
    fewest_positions: int = 1
    # Not a hook on a child: a child for each gate would change the structure that saved files keep.
    watcher: Watcher | None = None

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

    def gated(self, name: str, gate: torch.Tensor) -> torch.Tensor:
        """The gate itself, after it was shown to whoever watches this module.

        Args:
            name: `channels`, `rows`, `columns`, `positions` or another word.
            gate: What multiplies the map, (N, c, h, w): c is C, 1 or a number of groups, h and w are H and W,
                1 or those of a coarser map. It may have several axes for c; `rows` may be (N, c, H) and
                `columns` (N, c, W).
        """
        if self.watcher is not None:
            self.watcher(name, gate)
        return gate

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


@contextmanager
def watched(module: nn.Module, watcher: Watcher) -> Iterator[None]:
    """Within the context `watcher` receives every gate of a module and of the modules inside it.

    What `gate(x)` returns is a gate, called `channels`, or `positions` if the module is not a channel gate.
    Others are those passed to `gated`. In a module that is not of this contract they are the outputs of its
    children called `gate` and of its sigmoids. Nothing is computed twice, so batch norms and random numbers
    advance as without it. Every gate arrives as (N, c, h, w).
    """

    def tell(name: str, gate: torch.Tensor) -> None:
        watcher(name, _as_map(name, gate.detach()))

    undo: list[Callable[[], object]] = []
    try:
        for name, part in module.named_modules():
            if is_channel_gate(part) or _has_own_gate(part):
                undo.append(_watch_method(part, tell))
            elif isinstance(part, AttentionModule):
                part.watcher = tell
                undo.append(_forget(part))
            elif _is_foreign_gate(name, part, module):
                undo.append(part.register_forward_hook(_telling(name, tell)).remove)
        yield
    finally:
        for step in undo:
            step()


def _watch_method(module: nn.Module, watcher: Watcher) -> Callable[[], object]:
    own: Callable[[torch.Tensor], torch.Tensor] = module.gate  # type: ignore[assignment]
    name = "channels" if is_channel_gate(module) else "positions"

    def gate(x: torch.Tensor) -> torch.Tensor:
        found = own(x)
        watcher(name, found)
        return found

    vars(module)["gate"] = gate
    return lambda: vars(module).pop("gate")


def _forget(module: AttentionModule) -> Callable[[], object]:
    return lambda: vars(module).pop("watcher", None)


def _has_own_gate(module: nn.Module) -> bool:
    return isinstance(module, AttentionModule) and type(module).gate is not AttentionModule.gate


def _as_map(name: str, gate: torch.Tensor) -> torch.Tensor:
    """(N, c, h, w) of a gate with fewer axes, or more."""
    if gate.ndim == 3 and name in ("rows", "columns"):
        return gate.unsqueeze(3 if name == "rows" else 2)
    if gate.ndim > 4:
        return gate.flatten(1, -3)
    return gate if gate.ndim == 4 else gate.flatten(1)[:, :, None, None]


def _is_foreign_gate(name: str, part: nn.Module, module: nn.Module) -> bool:
    """Whether a child of a module that is not of the contract makes a gate, as timm's modules do."""
    if isinstance(module, AttentionModule) or is_channel_gate(module):
        return False
    kind = type(part).__name__.lower()
    return name.rpartition(".")[2] == "gate" or ("sigmoid" in kind and not list(part.children()))


def _telling(name: str, watcher: Watcher) -> Callable[[nn.Module, Any, torch.Tensor], None]:
    return lambda module, given, output: watcher(name, output)
