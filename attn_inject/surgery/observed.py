"""What a forward does besides its result, observed from outside: its operations and their state.

A rewritten body contains only the operations on tensors. What Python does around them, such as `with
torch.no_grad()`, a custom autograd function, a random decision or an assignment to `self`, is not in it. So
the block's own forward and the rewritten body each run once while every operation is recorded, and the
records must be equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from attn_inject.models.randomness import generator_states
from attn_inject.surgery.ambient import ambient, difference
from attn_inject.surgery.stand_ins import boxes
from attn_inject.surgery.stored import changes, stored

_BLIND = ("profiler::", "aten::detach", "aten::_assert", "prim::")


@dataclass
class Observed:
    """What one call of a block did.

    Attributes:
        operations: Each operation with its arguments and results, described without their values.
        ambient: The state of torch around each.
        graph: The names of the autograd graph's nodes, from the outputs down, and how they are connected.
        changed: Names of the attributes that were written.
        drawn: Names of the random generators that were advanced; stand-ins for children draw nothing.
        generators: Their state afterwards.
        writes_input: Whether a tensor that it was called with was written to.
        output: What it returned, described.
        own_ambient: The first state that the block's own forward changed, "" if none.
    """

    operations: list[Any] = field(default_factory=list)
    ambient: list[tuple[Any, ...]] = field(default_factory=list)
    graph: list[Any] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)
    generators: dict[str, int] = field(default_factory=dict)
    writes_input: bool = False
    own_ambient: str = ""
    output: Any = None


def observe(block: nn.Module, call: Callable[[], Any], given: Any) -> Observed:
    """Run `call` and record what it does.

    Args:
        block: What it runs; its children are distinguished from itself.
        call: Runs the block's own forward, or its rewritten body. The caller seeds the random generators.
        given: Its arguments, to see whether they are written to.

    Raises:
        Exception: Whatever the call raises.
    """
    seen = Observed()
    watch = _Watch(seen)
    handles = [handle for _, child in boxes(block) for handle in watch.hooks(child)]
    before, generators = stored(block), generator_states()
    versions = [tensor._version for tensor in tensors_in(given)]
    try:
        with watch, _Operations(seen, watch):
            output = call()
            watch.look()
    finally:
        for handle in handles:
            handle.remove()
    seen.changed = changes(before, stored(block))
    seen.generators = generator_states()
    seen.writes_input = versions != [tensor._version for tensor in tensors_in(given)]
    seen.drawn = changes(generators, seen.generators)
    seen.output = _described(output)
    seen.graph = _graph(output)
    return seen


class _Watch(TorchFunctionMode):
    """Records the ambient state at each call of torch, above autograd and autocast."""

    def __init__(self, seen: Observed) -> None:
        super().__init__()
        self._seen = seen
        self._depth = 0
        self._outside: tuple[Any, ...] | None = None
        self.now: tuple[Any, ...] = ()

    def __enter__(self) -> Any:
        entered = super().__enter__()  # type: ignore[no-untyped-call]
        self._outside = self.now = ambient()
        return entered

    def hooks(self, child: nn.Module) -> list[Any]:
        """Record when a child begins and ends."""

        def enter(*_: Any) -> None:
            if self._depth == 0:
                self.look()
            self._depth += 1

        def leave(*_: Any) -> None:
            self._depth -= 1

        return [
            child.register_forward_pre_hook(enter),
            child.register_forward_hook(leave, always_call=True),
        ]

    def look(self) -> None:
        """Record the state when the block's own forward calls a child, or ends."""
        self._note(ambient())

    def _note(self, now: tuple[Any, ...]) -> None:
        self.now = now
        if self._depth == 0 and self._outside is not None and not self._seen.own_ambient:
            self._seen.own_ambient = difference(self._outside, now)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Within this method the mode is not on the stack, but it counts as one of it.
        state = ambient()
        self._note((*state[:-1], state[-1] + 1))
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records each operation that is executed."""

    def __init__(self, seen: Observed, watch: _Watch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen, self._watch = seen, watch

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        name = str(func)
        if not name.replace(".", "::", 1).startswith(_BLIND):
            # What autograd's own functions switch is visible only here.
            state = (torch.is_grad_enabled(), torch.is_inference_mode_enabled())
            # fx turns `x += y` into `x + y`; the versions of the arguments show whether that matters.
            name = name.replace("_.", ".")
            self._seen.operations.append((name, _described((args, kwargs)), _described(output)))
            self._seen.ambient.append((state, *self._watch.now[1:]))
        return output


def _described(value: Any) -> Any:
    leaves, spec = pytree.tree_flatten(value)
    return tuple(map(_leaf, leaves)), str(spec)


def _leaf(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        strides = value.stride() if value.layout is torch.strided else None
        return tuple(value.shape), strides, value.dtype, value.device.type
    if isinstance(value, torch.Generator) or hasattr(value, "__dict__"):
        return type(value).__name__
    return repr(value)


def tensors_in(value: Any) -> list[torch.Tensor]:
    """Every tensor of an output, including those in an object's attributes."""
    found = []
    for leaf in pytree.tree_leaves(value):
        if isinstance(leaf, torch.Tensor):
            found.append(leaf)
        elif hasattr(leaf, "__dict__") and not isinstance(leaf, nn.Module):
            found += [item for item in vars(leaf).values() if isinstance(item, torch.Tensor)]
    return found


def _graph(output: Any) -> list[Any]:
    """Names and edges of the autograd graph in a fixed order, independent of its objects."""
    numbers: dict[Any, int] = {}
    waiting = [tensor.grad_fn for tensor in tensors_in(output)]
    order: list[Any] = []
    while waiting:
        node = waiting.pop()
        if node is not None and node not in numbers:
            numbers[node] = len(numbers)
            order.append(node)
            waiting += [parent for parent, _ in node.next_functions]
    ends = [numbers.get(tensor.grad_fn) for tensor in tensors_in(output)]
    edges = [(node.name(), [(numbers.get(p), i) for p, i in node.next_functions]) for node in order]
    return [ends, *edges]
