"""The traced body of a block, for the placements that rewrite it.

A placement chooses a node of the body, and the nodes that use the gated value in place of it.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from attn_inject.sites import layout as layouts
from attn_inject.sites.findings import FoundSite
from attn_inject.sites.nodes import ModuleCall, Node
from attn_inject.sites.recording import Recording
from attn_inject.sites.residual import Addition, tensor_additions
from attn_inject.sites.site import Reason, Rejection, RejectionCode
from attn_inject.sites.tensors import has_weight
from attn_inject.surgery.placements.gates import is_attention
from attn_inject.surgery.placements.target import Target
from attn_inject.surgery.tracer import Body, node_values, recorded_values, trace_body

ADD_FUNCTIONS = (
    *(operator.add, operator.iadd, operator.sub, operator.isub),
    *(torch.add, torch.sub, torch.subtract),
)
ADD_METHODS = ("add", "add_", "sub", "sub_", "subtract", "subtract_")

# A node with the nodes whose use of it is replaced, or the reason why there is none.
Choice = tuple[fx.Node, tuple[fx.Node, ...]] | str


@dataclass(frozen=True)
class TracedBlock:
    """A traced body and the recorded call of its block."""

    call: ModuleCall
    graph: fx.Graph
    specialized: Mapping[str, Any]
    module: nn.Module
    values: Mapping[str, torch.Tensor]
    addition: Addition | None
    add: fx.Node | None

    @property
    def branch(self) -> fx.Node | None:
        """The operand of the addition that passes through the branch."""
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

    def node_of(self, value: Any, otherwise: str, users: tuple[fx.Node, ...]) -> Choice:
        """`value` with its users if it is one node, or the reason `otherwise`."""
        return (value, users) if isinstance(value, fx.Node) else otherwise


def target_in(
    found: FoundSite, recording: Recording, choose: Callable[[TracedBlock], Choice]
) -> Target | Rejection:
    """What a placement chooses in the traced body of a block, or the reason why it cannot.

    Args:
        found: The site with its recorded call.
        recording: The run that it was found in.
        choose: The placement's choice.
    """
    block = _trace(found.call, found.addition)
    return _target(found, recording, block, choose)


def target_at_conv(
    found: FoundSite,
    recording: Recording,
    choose: Callable[[TracedBlock], Choice],
    *,
    bare: bool = False,
) -> Target | Rejection:
    """The same in the innermost child that holds the block's last spatial convolution and other layers.

    Args:
        found: The site with its recorded call.
        recording: The run that it was found in.
        choose: The placement's choice.
        bare: Whether norms and activations are other layers, too, so that the convolution stands alone.
    """
    block = _trace(found.call, found.addition)
    while not isinstance(block, str) and (part := _compound(block, recording, bare)) is not None:
        block = _trace(part, None)
    return _target(found, recording, block, choose)


def _target(
    found: FoundSite, recording: Recording, block: TracedBlock | str, choose: Callable[[TracedBlock], Choice]
) -> Target | Rejection:
    name = found.site.name
    if isinstance(block, str):
        text = f"{block}; only --placement after works here"
        return Rejection(name=name, code=RejectionCode.NOT_TRACEABLE, reason=text)
    choice = choose(block)
    if isinstance(choice, str):
        return Rejection(name=name, code=RejectionCode.NO_PLACE, reason=choice)
    node, users = choice
    if node.name not in block.values:
        text = f"the placement would act on {node.name}, which is not a tensor"
        return Rejection(name=name, code=RejectionCode.NO_TENSOR, reason=text)
    if overwriter := _overwriter(node, users, block.module):
        reason = f"the placement would act on a value that {overwriter} overwrites in place"
        return Rejection(name=name, code=RejectionCode.OVERWRITTEN, reason=reason)
    shape = tuple(block.values[node.name].shape)
    layout = _layout_at(node, shape, found, block, recording)
    if isinstance(layout, Reason):
        return Rejection.of(name, layout)
    return Target(
        site=dataclasses.replace(layout.on(found.site), name=block.call.name, element=None),
        shape=shape,
        tap=node.name,
        users=tuple(user.name for user in users),
        specialized=dict(block.specialized),
    )


def _layout_at(
    node: fx.Node, shape: tuple[int, ...], found: FoundSite, block: TracedBlock, recording: Recording
) -> layouts.Layout | Reason:
    """The layout of a tensor inside a block, inferred like that of the block's output."""
    added = found.addition.node if found.addition else dict(found.call.output_nodes).get(found.site.element)
    made = _recorded(node, shape, block.call) or added
    if made is None:
        text = "its recorded run does not show what made its output"
        return Reason(RejectionCode.NO_TENSOR, text)
    call = found.call if made is added else block.call
    return layouts.infer(shape, made, recording, call, added=added)


def _recorded(node: fx.Node, shape: tuple[int, ...], call: ModuleCall) -> Node | None:
    """What made a tensor of the traced body in the recorded call; None if no single operation fits."""
    if node.op == "call_module":
        name = f"{call.name}.{node.target}" if call.name else str(node.target)
    else:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    is_input = node.op == "placeholder"
    every = (item for made in call.nodes for item in ((*made.inputs,) if is_input else (made,)))
    fitting = {
        item
        for item in every
        if item.shape == shape and (item.kind == "input" if is_input else item.name == name)
    }
    return fitting.pop() if len(fitting) == 1 else None


def _compound(block: TracedBlock, recording: Recording, bare: bool) -> ModuleCall | None:
    """The call of the child that holds the spatial convolution, if it also runs other layers."""
    node = spatial_conv(block)
    if node is None:
        return None
    child = block.module.get_submodule(str(node.target))
    kernels = [m for m in child.modules() if has_weight(m) and not any(map(has_weight, m.children()))]
    if len(kernels) < 2 and not (bare and any(child.children())):
        return None
    name = f"{block.call.name}.{node.target}"
    return next((call for call in recording.calls if call.name == name), None)


def _trace(call: ModuleCall, addition: Addition | None) -> TracedBlock | str:
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
    return TracedBlock(call, body.graph, body.specialized, call.module, values, addition, add)


def _matching_add(
    body: Body, call: ModuleCall, addition: Addition | None, values: Mapping[str, torch.Tensor]
) -> fx.Node | str | None:
    """The fx node of the recorded addition: both runs made the same additions in the same order."""
    if addition is None:
        return None
    if addition.index is None:
        return f"its sum is made by {addition.node.name}, not by an addition in its own forward"
    traced = [node for node in body.graph.nodes if _adds_two_tensors(node, values)]
    recorded = [node for index, node in tensor_additions(call) if index is not None]
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


def spatial_conv(block: TracedBlock) -> fx.Node | None:
    """The call of the last child of the branch that has a spatial convolution."""
    scope = ancestors(block.branch) if block.branch is not None else set(block.graph.nodes)
    if block.shortcut is not None:
        scope -= ancestors(block.shortcut)
    modules = dict(block.module.named_modules())
    convs = [
        node
        for node in block.graph.nodes
        if node in scope and node.op == "call_module" and _has_spatial_conv(modules[str(node.target)])
    ]
    return convs[-1] if convs else None


def _has_spatial_conv(module: nn.Module) -> bool:
    if is_attention(module):
        return False
    return any(isinstance(m, nn.Conv2d | nn.Conv3d) and max(m.kernel_size) > 1 for m in module.modules())


def ancestors(node: fx.Node) -> set[fx.Node]:
    """The node and everything that it was computed from."""
    found: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(current.all_input_nodes)
    return found


def _overwriter(node: fx.Node, users: tuple[fx.Node, ...], module: nn.Module) -> str | None:
    """A user of the tapped value that writes into it, other than those that get the gated value."""
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
