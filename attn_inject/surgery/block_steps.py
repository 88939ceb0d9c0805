"""The steps of a block for a picture: the graph that placements choose from, as torch.fx traces it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx, nn

from attn_inject.block_graph import BlockGraph, Step
from attn_inject.models.clone import to_meta
from attn_inject.surgery.generated import own_class
from attn_inject.surgery.inserted import AttnInject
from attn_inject.surgery.placements.body import ADD_FUNCTIONS, ADD_METHODS
from attn_inject.surgery.tracer import trace

# What a picture calls a layer, by a part of its class's name; the first that fits.
_WORDS = {
    **{"Norm": "norm", "Downsample": "projection", "LayerScale": "scale", "Attention": "self-attention"},
    **{"ReLU": "act", "SiLU": "act", "GELU": "act", "Swish": "act", "Sigmoid": "act", "Mlp": "mlp"},
    **{"Linear": "linear", "Pool": "pool", "SqueezeExcite": "own attention", "Sequential": "layers"},
}
_PASSED = ("Identity", "Dropout", "DropPath", "DropBlock2d")


def block_graph(title: str, block: nn.Module, fixed: Mapping[str, Any] | None = None) -> BlockGraph:
    """The steps of a block; layers that change nothing in evaluation are passed over.

    Args:
        title: Of the picture.
        block: Modified or not.
        fixed: Arguments of its forward that the trace is specialized to.

    Raises:
        Exception: Whatever torch.fx raises at a block that it cannot trace.
    """
    graph = trace(to_meta(block), dict(fixed or {}))
    modules = dict(block.named_modules())
    stands_for: dict[fx.Node, str] = {}
    steps: list[Step] = []
    for node in graph.nodes:
        before = tuple(dict.fromkeys(stands_for[n] for n in node.all_input_nodes if n in stands_for))
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if node.op == "get_attr" or (node.op == "placeholder" and steps):
            continue
        if layer is not None and type(layer).__name__ in _PASSED and len(before) == 1:
            stands_for[node] = before[0]
            continue
        kind, label = _named(node, layer)
        steps.append(Step(name=node.name, label=label, kind=kind, inputs=before))
        stands_for[node] = node.name
    return BlockGraph(title=title, steps=tuple(steps))


def _named(node: fx.Node, layer: nn.Module | None) -> tuple[str, str]:
    """The kind and the label of a step."""
    if node.op == "placeholder":
        return "input", "x"
    if node.op == "output":
        return "output", "y"
    if node.target in ADD_FUNCTIONS or node.target in ADD_METHODS:
        return "sum", "+"
    if layer is None:
        return "layer", getattr(node.target, "__name__", str(node.target))
    replaced = [child for child in layer.children() if isinstance(child, AttnInject)]
    if isinstance(layer, AttnInject) or any(child.replaced for child in replaced):
        return "attention", "attention"
    return "layer", _word(layer)


def _word(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d):
        return f"conv {'x'.join(map(str, layer.kernel_size))}"
    name = own_class(type(layer)).__name__
    if name == "Sequential" and isinstance(next(layer.children(), None), nn.Conv2d | nn.AvgPool2d):
        return "projection"
    if name.startswith("BatchNormAct"):
        return "norm, act"
    return next((word for part, word in _WORDS.items() if part in name), name)
