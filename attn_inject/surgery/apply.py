"""Makes edits: each block gets a child and a generated class, and stays the same object."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import keyword
from collections.abc import Iterable
from typing import Any

import torch
from torch import fx, nn

from attn_inject.attention.factory import build, resolve
from attn_inject.attention.registry import find
from attn_inject.errors import FitError
from attn_inject.models.clone import deep_copy, to_meta
from attn_inject.request import AttentionSpec
from attn_inject.surgery.adapters import TokenGrid
from attn_inject.surgery.code import after_graph, called_signature, replacement_graph, source
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.generated import PREFIX, generated_class
from attn_inject.surgery.inserted import AttnInject, Replaced
from attn_inject.surgery.numbers import constants
from attn_inject.surgery.placements.stem import POOL, STEM, build_stem
from attn_inject.surgery.seen_map import see
from attn_inject.surgery.tracer import SPECIALIZABLE, trace

_closed: dict[tuple[Any, ...], type[nn.Module]] = {}


def refusal(block: nn.Module) -> str | None:
    """Why a block's class cannot be replaced, or None if it can."""
    if isinstance(block, torch.jit.ScriptModule):
        return "it is a TorchScript module"
    if torch.nn.utils.parametrize.is_parametrized(block):
        return "torch.nn.utils.parametrize has already replaced its class"
    if type(block).__name__.startswith("FSDP"):
        return "FSDP has already replaced its class; inject before sharding"
    if "forward" in vars(block):
        return "its forward was replaced on the instance"
    return None


def free_name(block: nn.Module) -> str:
    """The name of the next inserted child: `attn_inject`, then `attn_inject_1` and so on."""
    names = (f"{PREFIX}_{count}" if count else PREFIX for count in itertools.count())
    return next(name for name in names if not hasattr(block, name))


def apply_edits(model: nn.Module, edits: Iterable[Edit]) -> None:
    """Make edits, in place and in order.

    Args:
        model: The model that the edits were decided for, or an empty copy of its architecture.
        edits: What to insert; names, options and nodes are used unchanged.

    Raises:
        FitError: A block's class cannot be replaced, or its body no longer has the named nodes.
    """
    empty: dict[str, AttnInject] = {}
    for edit in edits:
        block = model.get_submodule(edit.name)
        if reason := refusal(block) or _unfit_for_code(edit):
            raise FitError(f"{edit.name} cannot be modified: {reason}.")
        like = _first_parameter(block, model)
        is_empty = like is not None and like.is_meta
        inserted = deep_copy(_build_once(edit, empty)) if is_empty else build_inserted(edit)
        if like is not None and not is_empty:
            inserted = inserted.to(device=like.device, dtype=like.dtype)
        cls = modified_class(block, edit)
        inserted.edit = edit
        if edit.site.source is not None and inserted.grid is not None:
            inserted.grid = dataclasses.replace(inserted.grid, seen=see(model, edit.site.source))
        # Before anything is removed: a name from a file may be in use.
        block.add_module(edit.module, inserted.train(block.training))
        if edit.replaces:
            inserted.replaced = _emptied(block, keep=edit.module)
        block.__class__ = cls


def _first_parameter(*modules: nn.Module) -> nn.Parameter | None:
    """The tensors that set an inserted module's device and dtype: the block's, else the model's."""
    parameters = (p for module in modules for p in module.parameters() if p.is_floating_point())
    return next(parameters, None)


def build_on_meta(edits: Iterable[Edit]) -> tuple[AttnInject, ...]:
    """The modules of edits, on the meta device; edits that differ only in their site share one object."""
    built: dict[str, AttnInject] = {}
    return tuple(_build_once(edit, built) for edit in edits)


def _build_once(edit: Edit, built: dict[str, AttnInject]) -> AttnInject:
    site = dataclasses.replace(edit.site, name="", block="", stage=1, calls=1)
    inside: dict[str, Any] = {"tap": None, "users": (), "specialized": {}, "note": "", "removed": ()}
    like = repr(dataclasses.replace(edit, site=site, module="", operation=0, **inside))
    if like not in built:
        with torch.device("meta"):
            built[like] = build_inserted(edit)
    return built[like]


def _emptied(module: nn.Module, *, keep: str) -> Replaced:
    """Remove everything from a module but the child `keep`; names stay, so that their order does."""
    children = {name: child for name, child in module._modules.items() if name != keep}
    replaced = Replaced(dict(module._parameters), dict(module._buffers), children)
    module._parameters.update(dict.fromkeys(module._parameters))
    module._buffers.update(dict.fromkeys(module._buffers))
    module._modules.update(dict.fromkeys(children))
    return replaced


def _unfit_for_code(edit: Edit) -> str | None:
    """Why an edit cannot become source code: its names must be identifiers and its values literals."""
    names = [edit.module, *edit.specialized]
    if wrong := [name for name in names if not name.isidentifier() or keyword.iskeyword(name)]:
        return f"{wrong[0]!r} is not a name"
    if wrong := [name for name, value in edit.specialized.items() if type(value) not in SPECIALIZABLE]:
        return f"the value of {wrong[0]} is not a literal"
    return None


def build_inserted(edit: Edit) -> AttnInject:
    """The module that an edit inserts."""
    if edit.placement in (STEM, POOL):
        return AttnInject(build_stem(edit))
    site = edit.site
    attention = build(resolve(_spec(edit), None), channels=site.channels, size=site.map_size)
    size = (site.height, site.width, site.prefix, site.suffix)
    grid = TokenGrid(*size, source=site.source) if site.layout == "NLC" else None
    identity = edit.start == "identity"
    return AttnInject(attention, layout=site.layout, grid=grid, identity=identity, stride=edit.stride)


def spec_label(edit: Edit) -> str:
    """The shortest spec of the module that an edit inserts, `sa:groups=32`."""
    if edit.placement in (STEM, POOL):
        return f"{edit.attention} {edit.placement}"
    return str(resolve(_spec(edit), None))


def _spec(edit: Edit) -> AttentionSpec:
    """An edit's module; one that an older version wrote may lack an option that had another meaning."""
    absent = find(edit.attention).absent
    return AttentionSpec(name=edit.attention, options={**absent, **edit.options})


def modified_class(block: nn.Module, edit: Edit) -> type[nn.Module]:
    """The generated class whose forward also runs the inserted child."""
    base = type(block)
    if edit.replaces or edit.tap is None:
        return _closed_class(base, edit)
    # A copy, since a trace may change it.
    graph = trace(to_meta(block), edit.specialized)
    baked = constants(block, graph, lambda copy: trace(copy, edit.specialized))
    signature = inspect.signature(base.forward)
    code, names = source(_rewritten(graph, block, edit), signature, edit.specialized, baked)
    return generated_class(base, code, names)


def _closed_class(base: type[nn.Module], edit: Edit) -> type[nn.Module]:
    """The generated class of an edit that never looks inside; it depends only on the block's class."""
    key = (base, edit.module, edit.site.element, edit.replaces)
    if key not in _closed:
        if edit.replaces:
            graph = replacement_graph(base, edit.module)
        else:
            graph = after_graph(base, edit.module, edit.site.element)
        code, names = source(graph, called_signature(base.forward))
        _closed[key] = generated_class(base, code, names)
    return _closed[key]


def _rewritten(graph: fx.Graph, block: nn.Module, edit: Edit) -> fx.Graph:
    """The traced body, in place, with the inserted child after the tapped node."""
    nodes = {node.name: node for node in graph.nodes}
    missing = [name for name in (edit.tap, *edit.users) if name not in nodes]
    if missing:
        raise FitError(
            f"{edit.name} cannot be modified: the body of {type(block).__name__} has no node {missing[0]}.",
            hint="The library that defines it has changed since the edit was recorded.",
        )
    tap = nodes[str(edit.tap)]
    anchor = max((n for n in graph.nodes if n.op == "placeholder"), key=list(graph.nodes).index)
    with graph.inserting_after(anchor if tap.op == "placeholder" else tap):
        gated = graph.call_module(edit.module, (tap,))
    for name in edit.users:
        nodes[name].replace_input_with(tap, gated)
    return graph
