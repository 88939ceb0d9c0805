"""The size of a map in the current call, which the tokens made from it no longer show.

392 tokens are 14 x 28 positions or 28 x 14, and only the module that made the map knows. So that module has a
hook, which notes the size for the modules that were inserted behind it.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from attn_inject.attention import parts
from attn_inject.errors import FitError, ModelError
from attn_inject.models.tracing_state import unrecorded
from attn_inject.sites.site import MapSource

Size = tuple[int, int]


class SeenMap:
    """A hook that notes the size of a module's map in every call.

    Args:
        of_input: Whether the map is the first tensor of rank 4 that the module is given, rather than its
            output (N, C, H, W).

    Attributes:
        size: (H, W) of the map in the last call, or None before the first.
    """

    def __init__(self, of_input: bool) -> None:
        self.of_input = of_input
        self.size: Size | None = None
        self._unread: list[Size] = []  # of the forwards whose backward may still run a block again
        self._is_read = False

    def __call__(self, module: nn.Module, args: Any, last: Any) -> None:
        """Note the size; `last` is a hook's output, or the keyword arguments before a forward."""
        values = (*args, *last.values()) if self.of_input else (last,)
        for value in values:
            if isinstance(value, torch.Tensor) and value.ndim == 4:
                # In a trace sizes are tensors, whose arithmetic would be counted as work.
                with unrecorded() if parts.is_jit_tracing() else nullcontext():
                    self.size = value.shape[2], value.shape[3]
                break
        if not torch.compiler.is_compiling() and torch.is_grad_enabled() and self.size is not None:
            if self._is_read:
                self._unread, self._is_read = [], False
            if self.size not in self._unread:
                self._unread.append(self.size)

    def sizes(self) -> list[Size]:
        """The size in the current call; while a backward runs a block again, all that it may have had."""
        if not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
            self._is_read = True
            return list(self._unread)
        return [] if self.size is None else [self.size]

    def __deepcopy__(self, memo: dict[int, Any]) -> SeenMap:
        """A copy has seen no call."""
        memo[id(self)] = copied = SeenMap(self.of_input)
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        """Sizes of calls are not pickled."""
        return SeenMap, (self.of_input,)


def see(model: nn.Module, source: MapSource) -> SeenMap:
    """What notes the size of a source in a model; all modules that were inserted behind it share it.

    Raises:
        FitError: The model has no such module.
    """
    try:
        module = model.get_submodule(source.name)
    except AttributeError as error:
        raise FitError(f"The model has no module {source.name}, whose map the tokens are.") from error
    of_input = not source.name
    if seen := seen_by(module):
        return seen
    seen = SeenMap(of_input)
    if of_input:
        module.register_forward_pre_hook(seen, with_kwargs=True)
    else:
        module.register_forward_hook(seen)
    return seen


def seen_by(module: nn.Module) -> SeenMap | None:
    """What notes the size of a module's map, or None."""
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    return next((hook for hook in hooks if isinstance(hook, SeenMap)), None)


def forget(model: nn.Module, used: set[int]) -> None:
    """Remove the hooks that no inserted module needs; `used` holds the ids of the others."""
    for module in model.modules():
        for table in (module._forward_hooks, module._forward_pre_hooks):
            for key, hook in list(table.items()):
                if isinstance(hook, SeenMap) and id(hook) not in used:
                    del table[key]
                    module._forward_pre_hooks_with_kwargs.pop(key, None)


def scaled(source: MapSource, seen: Size, recorded: Size) -> Size:
    """(H, W) of a grid that is `recorded` for the recorded map of a source, for a map of size `seen`."""
    height = seen[0] if recorded[0] == source.height else seen[0] * recorded[0] // source.height
    width = seen[1] if recorded[1] == source.width else seen[1] * recorded[1] // source.width
    return height, width


def fitting(sizes: list[Size], tokens: int, name: str) -> Size:
    """The one of several sizes that has so many positions.

    Raises:
        ModelError: None has, or several have.
    """
    found = [size for size in sizes if size[0] * size[1] == tokens]
    if len(found) == 1:
        return found[0]
    told = " or ".join(f"{height} x {width}" for height, width in sizes)
    made = f"the map that {name} made" if name else "the model's input"
    if not found:
        raise ModelError(
            f"{tokens} tokens are not the {told} positions of {made} in this call.",
            hint="A module that acts on positions needs all tokens of the map, and the forward of the whole "
            "model; a channel gate takes any.",
        )
    raise ModelError(
        f"{tokens} tokens are the {told} positions of {made}, and nothing says which.",
        hint="Run the backward of one image shape before the forward of another, or turn off activation "
        "checkpointing.",
    )
