"""Which operations are sums of two tensors, each with a factor that no layer computes from them.

`x + y`, `x - y`, `lerp(x, y, w)`, `addcmul(x, a, b)` and `stack([x, y]).sum(0)` are sums; so is a child
without weights if its own forward is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from attn_inject.sites.nodes import ModuleCall, Node

_ADDS = ("add", "sub", "subtract")
# Two tensors side by side, also as torch.fx traces them.
ADDITIONS = frozenset(
    {name + end for name in _ADDS for end in ("", "_")}
    | {f"__{way}{name}__" for name in _ADDS for way in ("", "r", "i")}
)
_MIXES = frozenset({"lerp", "lerp_"})
_ADD_PRODUCTS = frozenset({"addcmul", "addcmul_", "addcdiv", "addcdiv_"})
_REDUCTIONS = frozenset({"sum", "mean"})
FOREACH = "_foreach_"
SUMMED = "stacked sum"


def operands(node: Node) -> tuple[Node, ...]:
    """The two tensors that an operation adds, or nothing if it is not a sum."""
    name, inputs = node.name, node.inputs
    if name in ADDITIONS and len(inputs) == 2:
        return inputs
    if name in _MIXES and len(inputs) >= 2:
        return inputs[:2]
    if name in _ADD_PRODUCTS and len(inputs) == 3:
        return inputs[0], joined("mul", inputs[1:], node.shape)
    if name in _REDUCTIONS and len(inputs) == 1 and inputs[0].name == "stack":
        stacked = inputs[0].inputs
        if len(stacked) > 1 and stacked[0].shape == node.shape:
            left = stacked[0]
            for right in stacked[1:-1]:
                left = joined(SUMMED, (left, right), node.shape)
                left.operands = left.inputs
            return left, stacked[-1]
    return ()


def inner_sums(node: Node) -> list[Node]:
    """The sums of two tensors in a reduction over several stacked ones, except the last."""
    if node.name not in _REDUCTIONS or not node.operands:
        return []
    node.inputs = node.operands
    sums: list[Node] = []
    while node.operands[0].kind == "op" and node.operands[0].name == SUMMED:
        node = node.operands[0]
        sums.insert(0, node)
    return sums


def joined(name: str, inputs: tuple[Node, ...], shape: tuple[int, ...]) -> Node:
    """A node for an intermediate result of an operation on `inputs`."""
    kind = type(inputs[0])
    sources = frozenset().union(*(node.sources for node in inputs))
    return kind("op", name, inputs, shape, sources, frozenset().union(*(node.children for node in inputs)))


def operands_of_call(call: ModuleCall) -> tuple[int, ...]:
    """Which two tensor arguments of a module its own forward adds, by position; nothing if it does not."""
    for node in reversed(call.nodes):
        pair = node.operands
        if len(pair) == 2 and all(pair) and any(is_ancestor(node, out) for _, out in call.output_nodes):
            left, right = pair[0].sources, pair[1].sources
            if len(left) == len(right) == 1 and left != right:
                return min(left), min(right)
    return ()


def written(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The tensor that an operation writes into, or None if it makes a new one."""
    target = kwargs.get("out")
    if target is None and args and name != "requires_grad_":
        in_place = name.endswith("_") and not name.endswith("__")
        if in_place or name == "__setitem__" or (name.startswith("__i") and name[3:-2] in _IN_PLACE):
            target = args[0]
    return target if isinstance(target, torch.Tensor) else None


_IN_PLACE = frozenset({*_ADDS, "mul", "div", "truediv", "floordiv", "pow", "and", "or", "xor", "mod"})


def each(name: str, args: tuple[Any, ...], output: Any) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    """The operations on single tensors that a `_foreach_` operation consists of."""
    own = name.removeprefix(FOREACH).removesuffix("_")
    results = output if isinstance(output, list | tuple) else args[0]
    for index, result in enumerate(results):
        yield own, tuple(a[index] if isinstance(a, list | tuple) else a for a in args), result


def is_ancestor(node: Node, of: Node) -> bool:
    """Whether `of` is `node` or was computed from it."""
    seen: set[int] = set()
    waiting = [of]
    while waiting:
        current = waiting.pop()
        if current is node:
            return True
        if id(current) not in seen:
            seen.add(id(current))
            waiting.extend(current.inputs)
    return False
