"""The residual predicate: does a module's own forward add a branch to a shortcut, and return the sum?

The *branch* passes through a child with a weight that the *shortcut* does not pass through. The *shortcut* is
the input, or the input after a projection, pool, crop, scale, cast, or earlier residual additions of the
block. A rejection has its reason.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from attn_inject.sites.nodes import ModuleCall, Node
from attn_inject.sites.site import Reason, RejectionCode
from attn_inject.sites.sums import ADDITIONS, is_ancestor

# A projection is one convolution, or a depthwise and a pointwise one.
PROJECTION_WEIGHTS = 2
MULTIPLICATIONS = frozenset({"mul", "mul_", "__mul__", "__rmul__", "__imul__"})
TWO_BRANCHES = Reason(
    RejectionCode.NO_LIGHTER_SIDE, "adds two branches of equal weight, none of which is a shortcut"
)
GATED = Reason(
    RejectionCode.GATED_SHORTCUT, "the shortcut is gated by a learned gate, as in a recurrent cell"
)
FUSION = Reason(RejectionCode.FUSION, "it adds values computed from different inputs, which is a fusion")
UNUSED = Reason(RejectionCode.SUM_UNUSED, "the sum does not reach the output")


@dataclass(frozen=True)
class Addition:
    """One residual addition in a module's own forward.

    Attributes:
        node: The sum.
        index: Its place among the additions `a + b` and `a - b` in the call, from 0; None if it is made in
            another way (by a child, by `lerp`).
        shortcut: Which operand is the shortcut, 0 or 1.
        place: Which element of the module's output it reaches; None if a tensor is returned.
        apart: Whether branch and shortcut come from different arguments (DLA passes its shortcut as one).
    """

    node: Node
    index: int | None
    shortcut: int
    place: int | str | None
    apart: bool


@dataclass(frozen=True)
class Verdict:
    """The residual additions of one call, and why the other additions are not residual."""

    additions: tuple[Addition, ...]
    reasons: tuple[Reason, ...]


def tensor_additions(call: ModuleCall) -> Iterator[tuple[int | None, Node]]:
    """Every sum of two tensors in a call, with its place among those that two operands write (`a + b`)."""
    count = 0
    for node in call.nodes:
        if not node.operands:
            continue
        if node.kind == "op" and node.name in ADDITIONS:
            yield count, node
            count += 1
        else:
            yield None, node


def judge(call: ModuleCall, residual: Container[str] = ()) -> Verdict:
    """Find the residual additions of one call.

    Args:
        call: One call of one module.
        residual: Names of inner modules that are residual themselves; a shortcut may pass through them.
    """
    additions: list[Addition] = []
    reasons: list[Reason] = []
    sums: dict[Node, frozenset[Node]] = {}
    for index, node in tensor_additions(call):
        found = _judge_one(call, index, node, sums, residual)
        if isinstance(found, Addition):
            additions.append(found)
            branch = node.operands[1 - found.shortcut]
            sums[node] = branch.children - node.operands[found.shortcut].children
        elif found:
            reasons.append(found)
    if not additions and not reasons and (almost := _meeting(call)):
        reasons.append(almost)
    return Verdict(tuple(additions), tuple(reasons))


def _meeting(call: ModuleCall) -> Reason | None:
    """Where the input and what layers made of it meet in anything but a sum; None if they never do."""
    for node in call.nodes:
        if node.children & {node} or node.operands or len(node.inputs) < 2 or len(node.shape) < 3:
            continue
        around = [item for item in node.inputs if item.sources and not item.children]
        through = [item for item in node.inputs if item.children and item.sources]
        met = [(a, t) for a in around for t in through if a.sources & t.sources]
        if met and any(is_ancestor(node, output) for _, output in call.output_nodes):
            child = min(met[0][1].children, key=call.nodes.index).name.rpartition(".")[2]
            text = (
                f"its input reaches the output through {child} and around it, but they meet in {_shown(node)}"
            )
            return Reason(RejectionCode.NO_SUM, text)
    return None


def _shown(node: Node) -> str:
    """An operation as its documentation calls it."""
    if node.kind == "call":
        return node.name.rpartition(".")[2]
    name = node.name.removeprefix("__i" if node.name.startswith("__i") else "__").rstrip("_")
    return f"torch.{name}" if hasattr(torch, name) else name


def _judge_one(
    call: ModuleCall,
    index: int | None,
    node: Node,
    sums: dict[Node, frozenset[Node]],
    residual: Container[str],
) -> Addition | Reason | None:
    """The addition, the reason why it is not residual, or None if it is not even a candidate."""
    left, right = node.operands
    if not (left.sources and right.sources and (left.children or right.children)):
        return None
    if left.shape != right.shape:
        text = f"adds shapes {left.shape} and {right.shape}, which differ"
        return Reason(RejectionCode.SHAPES_DIFFER, text)
    if len(node.shape) < 3:
        return Reason(RejectionCode.VECTORS, f"adds vectors of shape {node.shape}, which are not maps")
    shortcut = _shortcut_side(left, right)
    if shortcut is None:
        return TWO_BRANCHES
    if _is_gated(node.operands[shortcut]):
        return GATED
    passed = node.operands[shortcut].children - _branches_inside(node.operands[shortcut], sums)
    trunk = frozenset(child for child in passed if child.name not in residual)
    apart = not left.sources & right.sources
    if apart and passed:
        return FUSION
    if _weights(trunk) > PROJECTION_WEIGHTS:
        names = ", ".join(sorted(child.name.rpartition(".")[2] for child in trunk))
        text = f"the shortcut is not a projection: it passed through {names}"
        return Reason(RejectionCode.DEEP_SHORTCUT, text)
    places = [place for place, output in call.output_nodes if is_ancestor(node, output)]
    if not places:
        return UNUSED
    return Addition(node, index, shortcut, places[-1], apart)


def _shortcut_side(left: Node, right: Node) -> int | None:
    """The operand that lacks the other's weights; if both have some, the one with fewer."""
    only_left, only_right = left.children - right.children, right.children - left.children
    heavy_left, heavy_right = _heaviness(only_left), _heaviness(only_right)
    if heavy_left == heavy_right:
        return None
    return 0 if heavy_left < heavy_right else 1


def _is_gated(shortcut: Node) -> bool:
    """Whether the shortcut was multiplied by a layer's output."""
    return (
        shortcut.name in MULTIPLICATIONS
        and len(shortcut.inputs) == 2
        and all(factor.kind != "const" for factor in shortcut.inputs)
        and bool(shortcut.children)
    )


def _heaviness(children: frozenset[Node]) -> tuple[int, int]:
    return _weights(children), sum(p.numel() for child in children for p in _parameters(child))


def _weights(children: frozenset[Node]) -> int:
    """How many weight matrices or kernels the children hold."""
    return sum(sum(size > 1 for size in p.shape) >= 2 for child in children for p in _parameters(child))


def _parameters(child: Node) -> Iterator[nn.Parameter]:
    assert child.module is not None
    return child.module.parameters()


def _branches_inside(shortcut: Node, sums: dict[Node, frozenset[Node]]) -> frozenset[Node]:
    """The branches of earlier residual additions that the shortcut came through."""
    return frozenset().union(*(branch for node, branch in sums.items() if is_ancestor(node, shortcut)))
