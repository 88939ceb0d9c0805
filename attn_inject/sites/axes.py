"""Which axis of a tensor holds the channels, told by the layers that made it.

A convolution has its channels on axis 1, a linear layer on the last one. From a tensor the run is followed
back, nearest first, into modules and out of them, through what moves axes, to a layer that tells.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence

from torch import nn

from attn_inject.sites.nodes import MOVES, ModuleCall, Node

_SECOND = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.PixelShuffle),
)
_SECOND_OPS = frozenset(
    {
        *("conv1d", "conv2d", "conv3d", "conv_transpose2d", "batch_norm", "group_norm", "instance_norm"),
        *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "pixel_shuffle"),
    }
)
_LAST = (nn.Linear, nn.Embedding)
_LAST_OPS = frozenset({"linear", "embedding"})
# They keep every axis in its place, but not its size.
_IN_PLACE = frozenset({"__getitem__", "cat", "concat", "chunk", "split", "pad", "narrow", "unfold", "output"})
_RESHAPES = frozenset({"view", "reshape", "flatten", "unflatten", "view_as", "reshape_as", "contiguous"})
_MOST_STEPS = 2000

# Where each axis of a tensor is in the tensor that was asked about; None for one that it has not.
_Axes = tuple[int | None, ...]


def channel_axis(node: Node, call: ModuleCall) -> int | None:
    """The axis of the channels in the tensor `node` of `call`; None if no layer tells."""
    waiting: deque[tuple[Node, ModuleCall, _Axes]] = deque([(node, call, tuple(range(len(node.shape))))])
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_STEPS:
        current, inside, axes = waiting.popleft()
        if id(current) in seen:
            continue
        seen.add(id(current))
        told = _told(current)
        if told is not None and told < len(axes) and axes[told] is not None:
            return axes[told]
        if told is None:
            waiting.extend(_before(current, inside, axes))
    return None


def _told(node: Node) -> int | None:
    """The axis on which the layer that made a tensor has its channels."""
    last = len(node.shape) - 1
    if node.kind == "op":
        if node.name in _SECOND_OPS:
            return 1
        return last if node.name in _LAST_OPS else None
    if isinstance(node.module, _SECOND):
        return 1
    # timm's LayerNorm2d is a LayerNorm of axis 1.
    is_plain_norm = (
        isinstance(node.module, nn.LayerNorm) and type(node.module).forward is nn.LayerNorm.forward
    )
    return last if is_plain_norm or isinstance(node.module, _LAST) else None


def _before(node: Node, call: ModuleCall, axes: _Axes) -> Iterator[tuple[Node, ModuleCall, _Axes]]:
    """The tensors that a tensor was made from whose axes it still has."""
    if node.kind == "input":
        above = call.parent
        around = next((n for n in above.nodes if n.inner is call), None) if above else None
        if above and around and len(around.inputs) > int(node.name):
            yield around.inputs[int(node.name)], above, axes
    elif node.inner is not None:
        made = [output for _, output in node.inner.output_nodes if len(output.shape) == len(node.shape)]
        yield from ((output, node.inner, axes) for output in made)
    else:
        for item in node.inputs:
            if moved := _moved(node, item, axes):
                yield item, call, moved


def _moved(node: Node, item: Node, axes: _Axes) -> _Axes | None:
    """Where the axes of an operation's input went."""
    if node.kind == "op" and node.name == "permute":
        order = [axis % len(axes) for axis in node.detail]
        placed = dict(zip(order, axes, strict=True))
        return tuple(placed.get(axis) for axis in range(len(axes)))
    if node.kind == "op" and node.name in MOVES:
        first, second = (axis % len(axes) for axis in node.detail)
        swapped = list(axes)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        return tuple(swapped)
    if node.kind == "op" and node.name in _RESHAPES and item.shape != node.shape:
        return _reshaped(item.shape, node.shape, axes)
    same = item.shape == node.shape or (node.name in _IN_PLACE and len(item.shape) == len(node.shape))
    return axes if same else None


def _reshaped(before: Sequence[int], after: Sequence[int], axes: _Axes) -> _Axes | None:
    """The axes that a reshape leaves whole: as many positions before each, and the same size."""
    starts = {(math.prod(after[:at]), after[at]): axes[at] for at in range(len(after))}
    if math.prod(before) != math.prod(after):
        return None
    return tuple(starts.get((math.prod(before[:at]), before[at])) for at in range(len(before)))
