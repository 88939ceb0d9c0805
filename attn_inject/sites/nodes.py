"""What a recorded run notes: calls of modules, and the tensors in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from attn_inject.sites.grids import NONE, Grids

MOVES = frozenset({"permute", "transpose", "transpose_", "swapaxes", "swapdims"})


@dataclass(eq=False, slots=True, repr=False)
class Node:
    """One tensor as one module's forward sees it.

    Attributes:
        kind: `input` (an argument of the module), `op`, `call` (a child's output) or `const`.
        name: The operation, the child's qualified name, or the argument's position.
        inputs: Where it came from, in the same call.
        shape: Of the (first) tensor.
        sources: Which tensor arguments of the module it came from, by position.
        children: Calls of children with a weight matrix that it came through.
        detail: The index of a `__getitem__`, the axes of a `permute` or `transpose`.
        inner: The call of the child that made it, if that was looked into.
        operands: The two tensors that it adds; empty if it is not a sum.
        grids: The maps that its positions are.
    """

    kind: str
    name: str
    inputs: tuple[Node, ...]
    shape: tuple[int, ...]
    sources: frozenset[int]
    children: frozenset[Node]
    module: nn.Module | None = None
    detail: Any = None
    inner: ModuleCall | None = None
    operands: tuple[Node, ...] = ()
    grids: Grids = NONE

    def __repr__(self) -> str:
        """Without its inputs, which would repeat the whole graph many times over."""
        return f"{self.kind} {self.name} {self.shape}"


@dataclass(eq=False, slots=True, repr=False)
class ModuleCall:
    """One call of one module.

    Attributes:
        name: The module's qualified name; empty for the model itself.
        module: The module (of the meta copy).
        parent: The call of the module that called it.
        args: Its positional arguments, meta tensors among them.
        kwargs: Its keyword arguments.
        nodes: What its own forward made, in order.
        output: What it returned.
        output_nodes: `(place, node)` for each tensor it returned; the place is None for a bare tensor,
            else the index or key in the returned tuple or dictionary.
        results: The node in the parent's call of each tensor it returned, by place.
    """

    name: str
    module: nn.Module
    parent: ModuleCall | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    nodes: list[Node] = field(default_factory=list)
    output: Any = None
    output_nodes: list[tuple[int | str | None, Node]] = field(default_factory=list)
    results: dict[int | str | None, Node] = field(default_factory=dict)
    env: dict[int, Node] = field(default_factory=dict)


def detail_of(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a `Node` keeps of the arguments of an operation that cuts or moves axes."""
    if name == "__getitem__":
        return args[1]
    rest = (*args[1:], *(kwargs[key] for key in ("dims", "dim0", "dim1") if key in kwargs))
    if name in MOVES:
        axes = rest[0] if len(rest) == 1 and not isinstance(rest[0], int) else rest
        return tuple(axes)
    return None
