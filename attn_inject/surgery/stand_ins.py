"""Stand-ins for children while their block is observed: each child runs only once, for its shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

_VALUE = 0.1
Memory = dict[tuple[str, int], Any]


def boxes(block: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that a block's own forward calls: its children, and what its lists of them hold."""
    for name, child in block.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict) and type(child).forward is nn.Module.forward:
            yield from boxes(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def stand_in(block: nn.Module, memory: Memory) -> None:
    """Let the children of a block return what they returned the first time, without computing it.

    Args:
        block: A copy that is discarded.
        memory: The results of the children of copies of the same block for the same inputs.
    """
    for name, child in boxes(block):
        if not isinstance(child, torch.jit.ScriptModule):
            # The method is looked up on the object first, so hooks and `__call__` still work.
            object.__setattr__(child, "forward", _stand_in(name, child.forward, memory))


def _stand_in(name: str, forward: Callable[..., Any], memory: Memory) -> Callable[..., Any]:
    calls: Counter[str] = Counter()

    def pretend(*args: Any, **kwargs: Any) -> Any:
        key = (name, calls[name])
        calls[name] += 1
        with torch._C.DisableTorchFunction():
            if key not in memory:
                with _disable_current_modes(), torch.no_grad():
                    memory[key] = pytree.tree_map_only(torch.Tensor, _Shape, forward(*args, **kwargs))
        made, spec = pytree.tree_flatten(memory[key], is_leaf=lambda leaf: isinstance(leaf, _Shape))
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        given = iter(ChildOf.apply([leaf for leaf in made if isinstance(leaf, _Shape)], *tensors))
        return pytree.tree_unflatten(
            [next(given) if isinstance(leaf, _Shape) else leaf for leaf in made], spec
        )

    return pretend


class _Shape:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.size, self.stride = tuple(tensor.shape), tensor.stride()
        self.dtype, self.device = tensor.dtype, tensor.device

    def make(self) -> torch.Tensor:
        made = torch.empty_strided(self.size, self.stride, dtype=self.dtype, device=self.device)
        return made.fill_(_VALUE if made.is_floating_point() else 0)


class ChildOf(torch.autograd.Function):
    """Connects a child's results with its arguments."""

    @staticmethod
    def forward(ctx: Any, shapes: list[_Shape], *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Tensors of the shapes that the child returned."""
        made = tuple(shape.make() for shape in shapes)
        ctx.mark_non_differentiable(*(tensor for tensor in made if not tensor.is_floating_point()))
        return made

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Never called; only the graph is examined."""
        raise NotImplementedError
