"""Groups of blocks: what passes the residual predicate and is made of blocks all the same.

- A *group* puts one long skip around a list of blocks (EDSR, SwinIR): its members are the blocks.
- A *stack* adds in its own forward, layer by layer (`for attn, ff in layers: x = attn(x) + x`): no module
  stands for a layer, and what comes nearest is the last module of its last branch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from attn_inject.sites.nodes import ModuleCall, Node
from attn_inject.sites.residual import Addition, Verdict
from attn_inject.sites.sums import is_ancestor

LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def groups(blocks: Iterable[str], modules: Mapping[str, nn.Module]) -> dict[str, int]:
    """Those of the candidates `blocks` that are groups, with how many members each has."""
    names = list(blocks)
    found: dict[str, int] = {}
    for name in names:
        inside = [other for other in names if other.startswith(f"{name}.")]
        outermost = [n for n in inside if not any(n.startswith(f"{other}.") for other in inside)]
        members = _largest_list(outermost, modules)
        if len(members) > 1 and 2 * sum(map(_size, members)) > _size(modules[name]):
            found[name] = len(members)
    return found


def _largest_list(names: list[str], modules: Mapping[str, nn.Module]) -> list[nn.Module]:
    """The modules of those names that stand together in one list."""
    lists: dict[str, list[nn.Module]] = {}
    for name in names:
        parent = name.rpartition(".")[0]
        if isinstance(modules.get(parent), LISTS):
            lists.setdefault(parent, []).append(modules[name])
    return max(lists.values(), key=len, default=[])


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def layers_of_stack(call: ModuleCall, verdict: Verdict, modules: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """The last module of each layer that a module adds in its own forward; none if it is not a stack."""
    layers: dict[tuple[str, str], str] = {}
    trunk: Node | None = None
    for addition in verdict.additions:
        if trunk is not None and not is_ancestor(trunk, addition.node.operands[addition.shortcut]):
            return ()
        trunk = addition.node
        module = _end_of_branch(addition)
        place = _place_in_list(module, call.name, modules) if module else None
        if module and place:
            layers[place] = module
    alike: dict[tuple[str, object], dict[tuple[str, str], str]] = {}
    for place, module in layers.items():
        alike.setdefault((place[0], _kind(modules[".".join(place)])), {})[place] = module
    repeated = max(alike.values(), key=len, default={})
    held = sum(_size(modules[".".join(place)]) for place in repeated)
    return tuple(repeated.values()) if len(repeated) > 1 and 2 * held > _size(call.module) else ()


def _kind(module: nn.Module) -> tuple[type[nn.Module], ...]:
    """Classes of a layer and of what it holds; [attention, MLP] is one layer of two parts, not two layers."""
    return type(module), *(type(child) for child in module.children())


def _place_in_list(name: str, around: str, modules: Mapping[str, nn.Module]) -> tuple[str, str] | None:
    """The outermost list below `around` that holds a module, and its index there."""
    parts = name.split(".")
    for end in range(around.count(".") + 2 if around else 1, len(parts)):
        above = ".".join(parts[:end])
        if isinstance(modules.get(above), LISTS):
            return above, parts[end]
    return None


def _end_of_branch(addition: Addition) -> str:
    """The last module with weights that the branch came through, if it makes a tensor of the sum's shape."""
    branch = addition.node.operands[1 - addition.shortcut]
    own = branch.children - addition.node.operands[addition.shortcut].children
    waiting: list[Node] = [branch]
    while waiting:
        node = waiting.pop(0)
        if node in own:
            return node.name if node.shape == addition.node.shape else ""
        waiting.extend(item for item in node.inputs if item.children & own)
    return ""
