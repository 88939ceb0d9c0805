"""Modules that satisfy the residual predicate and are not blocks.

- A *wrapper* (ResidualDrop, Residual) is one step of the module that holds it.
- A *position-encoding convolution* adds a bare depthwise convolution to its input.
- A *downsampler* or *side branch* of a stage changes the size of the map beside the list of the stage's
  blocks, whatever it consists of.
- A *multi-branch convolution* (MobileOneBlock, RepVggDw, ReparamLargeKernelConv) becomes one convolution
  after training; it is a block only if a backbone consists of nothing else.
- The *first half* of a transformer block whose second half is a separate module in the same list.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import nn

from attn_inject.sites.groups import LISTS
from attn_inject.sites.nodes import ModuleCall, Node
from attn_inject.sites.residual import MULTIPLICATIONS, Verdict
from attn_inject.sites.tensors import tensors_of

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
TRANSPARENT = (nn.Identity, nn.Dropout)


def between_blocks(names: Collection[str], calls: Mapping[str, list[ModuleCall]]) -> list[str]:
    """The downsamplers and side branches of stages that are candidates or hold some.

    A stage is one of several members of a list, and holds a list of blocks. Its child that changes the size
    of the map is none of its blocks, nor is another module of that child's class.

    Args:
        names: The candidates.
        calls: Every module that ran, with its calls.
    """
    modules = {name: own[0].module for name, own in calls.items()}
    split = [name.split(".") for name in names]
    holders = {".".join(parts[:end]) for parts in split for end in range(1, len(parts) + 1)}
    found = [
        name
        for name in holders & calls.keys()
        if not _is_list_of_blocks(name, names, calls)
        and _is_beside_blocks(name, holders, modules)
        and any(_resamples(call) for call in calls[name])
    ]
    classes = {type(modules[name]) for name in found if not isinstance(modules[name], LISTS)}
    return found + [name for name in holders & calls.keys() if type(modules[name]) in classes]


def _is_list_of_blocks(name: str, names: Collection[str], calls: Mapping[str, list[ModuleCall]]) -> bool:
    """Whether a module is a list with candidates in it, not on both sides of what changes the map's size."""
    module = calls[name][0].module
    if not isinstance(module, LISTS):
        return False
    members = [f"{name}.{key}" for key, _ in module.named_children()]
    places = [place for place, member in enumerate(members) if member in names]
    changing = [
        place
        for place, member in enumerate(members)
        if place not in places and member in calls and any(map(_resamples, calls[member]))
    ]
    return bool(places) and not any(places[0] < place < places[-1] for place in changing)


def _is_beside_blocks(name: str, holders: Collection[str], modules: Mapping[str, nn.Module]) -> bool:
    """Whether a module's parent is a stage in a list and holds a list of blocks of another class."""
    stage, _, own = name.rpartition(".")
    around = stage.rpartition(".")[0]
    stages = [member for member in holders if stage and member.rpartition(".")[0] == around]
    if len(stages) < 2 or stage not in modules or not isinstance(modules.get(around), LISTS):
        return False
    lists = [
        child
        for key, child in modules[stage].named_children()
        if key != own and isinstance(child, LISTS) and f"{stage}.{key}" in holders
    ]
    return any(type(modules[name]) not in {type(member) for member in child.children()} for child in lists)


def _resamples(call: ModuleCall) -> bool:
    """Whether a call returns a map (N, C, H, W) of another size than it takes."""
    maps = [
        [tensor for _, tensor in tensors_of(value) if tensor.ndim == 4]
        for value in ([*call.args, *call.kwargs.values()], call.output)
    ]
    return all(maps) and maps[0][0].shape[2:] != maps[1][0].shape[2:]


def is_wrapper(call: ModuleCall, verdict: Verdict) -> bool:
    """Whether a module only adds one child's output, perhaps scaled, to its input."""
    if len(verdict.additions) != 1:
        return False
    addition = verdict.additions[0]
    shortcut = addition.node.operands[addition.shortcut]
    while shortcut.kind == "call" and isinstance(shortcut.module, TRANSPARENT):
        shortcut = shortcut.inputs[0]
    weighted = [node for node in call.nodes if node.kind == "call" and node in node.children]
    others = [node for node in call.nodes if node.kind == "op" and node is not addition.node]
    return shortcut.kind == "input" and len(weighted) == 1 and all(_scales(node) for node in others)


def _scales(node: Node) -> bool:
    return node.name in MULTIPLICATIONS and any(i.kind == "const" for i in node.inputs)


def is_position_encoding(call: ModuleCall, verdict: Verdict) -> bool:
    """Whether a module only adds a depthwise convolution to its input, without an activation."""
    if len(verdict.additions) != 1:
        return False
    addition = verdict.additions[0]
    branch = addition.node.operands[1 - addition.shortcut]
    leaves = [
        leaf
        for child in branch.children
        if child.module is not None
        for leaf in child.module.modules()
        if next(leaf.children(), None) is None and not isinstance(leaf, TRANSPARENT)
    ]
    convolutions = [leaf for leaf in leaves if isinstance(leaf, CONVOLUTIONS)]
    plain = all(type(leaf) in NORMS or leaf in convolutions for leaf in leaves)
    return plain and len(convolutions) == 1 and _is_depthwise(convolutions[0])


def _is_depthwise(convolution: nn.Module) -> bool:
    return convolution.groups == convolution.in_channels > 1  # type: ignore[operator, return-value]


def is_multi_branch_convolution(call: ModuleCall, verdict: Verdict) -> bool:
    """Whether a module sums single convolutions of its own input, side by side."""
    if not hasattr(type(call.module), "reparameterize") and not hasattr(type(call.module), "fuse"):
        return False
    children = frozenset().union(*(addition.node.children for addition in verdict.additions))
    return all(
        child.children == {child} and child.module is not None and _count_convolutions(child.module) == 1
        for child in children
    )


def _count_convolutions(module: nn.Module) -> int:
    return sum(isinstance(leaf, (*CONVOLUTIONS, nn.Linear)) for leaf in module.modules())


def first_halves(names: Mapping[str, ModuleCall]) -> list[str]:
    """Blocks that the next module of their list completes, in order.

    The second half is an MLP, two layers that act on each position separately; the first is not.

    Args:
        names: Blocks that were found through a wrapper, with their calls.
    """
    halves: dict[str, None] = {}
    for name, call in names.items():
        parent, _, index = name.rpartition(".")
        before = f"{parent}.{int(index) - 1}" if index.isdigit() else ""
        if before in names and _is_mlp(call.module) and not _is_mlp(names[before].module):
            halves[before] = None
    return list(halves)


def _is_mlp(module: nn.Module) -> bool:
    layers = [leaf for leaf in module.modules() if isinstance(leaf, (*CONVOLUTIONS, nn.Linear))]
    return len(layers) == 2 and all(max(getattr(layer, "kernel_size", (1,))) == 1 for layer in layers)
