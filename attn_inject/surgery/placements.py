"""Where in a block a module acts: from a placement's name to the value that is tapped.

`after` never looks inside. The others name a node of the traced body, and the nodes that get the gated
value in its stead. Nothing is edited here.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from attn_inject.sites.findings import FoundSite
from attn_inject.sites.recording import ModuleCall, Recording, has_weight
from attn_inject.sites.residual import Addition, tensor_additions
from attn_inject.surgery.replacing import is_attention
from attn_inject.surgery.tracer import Body, node_values, recorded_values, trace_body

ADD_FUNCTIONS = (operator.add, operator.iadd, torch.add)
ADD_METHODS = ("add", "add_")
ACTIVATIONS = ("relu", "relu6", "gelu", "silu", "hardswish", "hardtanh", "elu", "leaky_relu")


@dataclass(frozen=True)
class Tap:
    """What a module acts on.

    Attributes:
        shape: Of the tapped tensor.
        module: Qualified name of the module whose body is rewritten, if that is a part of the block.
        node: The tapped fx node, or None for the block's output.
        users: The nodes whose use of it is replaced.
        specialized: Arguments that the trace is specialised to.
    """

    shape: tuple[int, ...]
    module: str = ""
    node: str | None = None
    users: tuple[str, ...] = ()
    specialized: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Block:
    """A traced body with what the recorded run knows of it."""

    call: ModuleCall
    graph: fx.Graph
    specialized: Mapping[str, Any]
    module: nn.Module
    values: Mapping[str, torch.Tensor]
    addition: Addition | None
    add: fx.Node | None

    @property
    def branch(self) -> fx.Node | None:
        """The operand of the addition that came through the branch."""
        return (
            None
            if self.add is None or self.addition is None
            else _operand(self.add, 1 - self.addition.shortcut)
        )

    @property
    def shortcut(self) -> fx.Node | None:
        """The operand of the addition that is the shortcut."""
        return (
            None if self.add is None or self.addition is None else _operand(self.add, self.addition.shortcut)
        )


def find_tap(found: FoundSite, placement: str, recording: Recording) -> Tap | str:
    """What a module with this placement acts on in a block, or the reason why it cannot.

    Args:
        found: The site with its recorded call.
        placement: `before-add`, `before-block`, `on-shortcut` or `after-conv`.
        recording: The run that it was found in.
    """
    if placement == "on-shortcut" and found.addition is None:
        return "the block has no shortcut"
    block = _trace(found.call, found.addition)
    while not isinstance(block, str):
        part = _compound(block, recording) if placement == "after-conv" else None
        if part is None:
            return _chosen_tap(block, placement, inside=block.call is not found.call)
        block = _trace(part, None)
    return f"{block}; only --placement after works here"


def _compound(block: _Block, recording: Recording) -> ModuleCall | None:
    """The call of the child that the spatial convolution is in, if it runs other ones too."""
    node = _spatial_conv(block)
    if node is None:
        return None
    child = block.module.get_submodule(str(node.target))
    kernels = [m for m in child.modules() if has_weight(m) and not any(map(has_weight, m.children()))]
    if len(kernels) < 2:
        return None
    name = f"{block.call.name}.{node.target}"
    return next((call for call in recording.calls if call.name == name), None)


def _chosen_tap(block: _Block, placement: str, *, inside: bool) -> Tap | str:
    choice = _CHOOSE[placement](block)
    if isinstance(choice, str):
        return choice
    node, users = choice
    if node.name not in block.values:
        return f"{placement} would act on {node.name}, which is no tensor"
    if overwriter := _overwriter(node, users, block.module):
        return f"{placement} would act on a value that {overwriter} overwrites in place"
    return Tap(
        shape=tuple(block.values[node.name].shape),
        module=block.call.name if inside else "",
        node=node.name,
        users=tuple(user.name for user in users),
        specialized=block.specialized,
    )


def _trace(call: ModuleCall, addition: Addition | None) -> _Block | str:
    body = trace_body(call.module, call.args, call.kwargs)
    if isinstance(body, str):
        return body
    try:
        recorded = recorded_values(call.module, call.args, call.kwargs)
        values = node_values(body.graph, call.module, recorded)
    except Exception as error:
        return f"its traced body does not run ({type(error).__name__})"
    add = _matching_add(body, call, addition, values)
    if isinstance(add, str):
        return add
    return _Block(call, body.graph, body.specialized, call.module, values, addition, add)


def _matching_add(
    body: Body, call: ModuleCall, addition: Addition | None, values: Mapping[str, torch.Tensor]
) -> fx.Node | str | None:
    """The fx node of the recorded addition: both runs made the same additions in the same order."""
    if addition is None:
        return None
    traced = [node for node in body.graph.nodes if _adds_two_tensors(node, values)]
    recorded = [node for _, node in tensor_additions(call)]
    if [tuple(values[node.name].shape) for node in traced] != [node.shape for node in recorded]:
        return "its traced body makes other additions than its recorded run"
    add: fx.Node = traced[addition.index]
    return add


def _adds_two_tensors(node: fx.Node, values: Mapping[str, torch.Tensor]) -> bool:
    is_add = (node.op == "call_function" and node.target in ADD_FUNCTIONS) or (
        node.op == "call_method" and node.target in ADD_METHODS
    )
    tensors = [arg for arg in node.args[:2] if isinstance(arg, fx.Node) and arg.name in values]
    return is_add and node.name in values and len(tensors) == 2


def _operand(add: fx.Node, side: int) -> fx.Node:
    node = add.args[side]
    assert isinstance(node, fx.Node)
    return node


_Choice = tuple[fx.Node, tuple[fx.Node, ...]] | str


def _before_add(block: _Block) -> _Choice:
    if block.add is None or block.branch is None:
        return _block_output(block)
    return block.branch, (block.add,)


def _block_output(block: _Block) -> _Choice:
    end = next(node for node in block.graph.nodes if node.op == "output")
    value = end.args[0]
    if not isinstance(value, fx.Node):
        return "the block has no addition and returns no single tensor"
    return value, (end,)


def _on_shortcut(block: _Block) -> _Choice:
    assert block.add is not None
    assert block.shortcut is not None
    return block.shortcut, (block.add,)


def _before_block(block: _Block) -> _Choice:
    branch, shortcut = block.branch, block.shortcut
    if branch is None or shortcut is None:
        first = next(node for node in block.graph.nodes if node.op == "placeholder")
        return first, tuple(first.users)
    shared = _ancestors(shortcut)
    inner = _ancestors(branch) - shared
    heads = {
        head: tuple(user for user in head.users if user in inner)
        for head in block.graph.nodes
        if head in shared and head.op != "get_attr" and head.name in block.values
    }
    heads = {head: users for head, users in heads.items() if users}
    if len(heads) != 1:
        return f"its branch has {len(heads)} inputs, not one"
    return next(iter(heads.items()))


def _spatial_conv(block: _Block) -> fx.Node | None:
    """The call of the last child of the branch that has a spatial convolution."""
    scope = _ancestors(block.branch) if block.branch is not None else set(block.graph.nodes)
    if block.shortcut is not None:
        scope -= _ancestors(block.shortcut)
    modules = dict(block.module.named_modules())
    convs = [
        node
        for node in block.graph.nodes
        if node in scope and node.op == "call_module" and _has_spatial_conv(modules[str(node.target)])
    ]
    return convs[-1] if convs else None


def _after_conv(block: _Block) -> _Choice:
    node = _spatial_conv(block)
    if node is None:
        return "the block has no spatial convolution"
    modules = dict(block.module.named_modules())
    while (follower := _norm_or_activation(node, modules, block.values)) is not None:
        node = follower
    return node, tuple(node.users)


def _has_spatial_conv(module: nn.Module) -> bool:
    if is_attention(module):
        return False
    return any(isinstance(m, nn.Conv2d | nn.Conv3d) and max(m.kernel_size) > 1 for m in module.modules())


def _norm_or_activation(
    node: fx.Node, modules: Mapping[str, nn.Module], values: Mapping[str, torch.Tensor]
) -> fx.Node | None:
    """The only user of a node, if it is a norm, an activation or the like."""
    if len(node.users) != 1:
        return None
    user = next(iter(node.users))
    if user.op == "call_module":
        follows = not has_weight(modules[str(user.target)])
    else:
        follows = getattr(user.target, "__name__", str(user.target)) in ACTIVATIONS
    same = user.name in values and values[user.name].shape == values[node.name].shape
    return user if follows and same else None


def _ancestors(node: fx.Node) -> set[fx.Node]:
    """The node and everything it was computed from."""
    found: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(current.all_input_nodes)
    return found


def _overwriter(node: fx.Node, users: tuple[fx.Node, ...], module: nn.Module) -> str | None:
    """A user of the tapped value, other than those that get the gated one, that writes into it."""
    for user in node.users:
        if user in users:
            continue
        if user.op == "call_module" and getattr(module.get_submodule(str(user.target)), "inplace", False):
            return str(user.target)
        if user.op == "call_method" and str(user.target).endswith("_") and user.args[0] is node:
            return str(user.target)
        if user.kwargs.get("inplace"):
            return user.name
    return None


_CHOOSE = {
    "before-add": _before_add,
    "before-block": _before_block,
    "on-shortcut": _on_shortcut,
    "after-conv": _after_conv,
}
# The placements that rewrite a traced body.
INNER = tuple(_CHOOSE)
