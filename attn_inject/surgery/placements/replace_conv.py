"""`replace-conv`: instead of each spatial convolution of the block.

The replaced module stays the same object: it loses its parameters and children, gains the inserted child, and
its forward runs only that child. So names, attributes, `isinstance` and the surrounding block are unchanged,
even in a block that torch.fx cannot trace.

    x ─┬─ conv 1x1 ─ norm ─ act ─ [attention] ─ norm ─ act ─ conv 1x1 ─ norm ─ + ─ act ─
       └──────────────────────────────────────────────────────────────────────┘

Legend: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from torch import nn

from attn_inject.sites.findings import FoundSite
from attn_inject.sites.nodes import Node
from attn_inject.sites.recording import Recording
from attn_inject.sites.site import Reason, Rejection, RejectionCode, Site
from attn_inject.surgery.placements.target import Target

NONE = Reason(RejectionCode.NO_PLACE, "the block has no spatial convolution of a map")


def targets(found: FoundSite, recording: Recording) -> list[Target | Rejection]:
    """Each spatial convolution of a block, or the reason why attention cannot replace it."""
    calls = Counter(node.name for node in _calls(recording))
    inside = {node.name: node for node in _calls(recording) if node.name.startswith(f"{found.site.name}.")}
    spatial = [node for node in inside.values() if _is_spatial(node.module)]
    return [_target(node, calls[node.name], found.site.stage) for node in spatial] or [
        Rejection.of(found.site.name, NONE)
    ]


def _is_spatial(module: nn.Module | None) -> bool:
    return isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1


def _calls(recording: Recording) -> Iterator[Node]:
    for call in recording.calls:
        yield from (node for node in call.nodes if node.kind == "call")


def _target(node: Node, calls: int, stage: int) -> Target | Rejection:
    conv, shape = node.module, node.inputs[0].shape
    assert isinstance(conv, nn.Conv2d)
    size = tuple(-(-length // conv.stride[0]) for length in shape[2:])
    reason = None
    if any("attn_inject" in name for name, _ in conv.named_children()):
        reason = "it is replaced already"
    elif len(shape) != 4:
        reason = f"its input has {len(shape)} dimensions, not 4"
    elif conv.in_channels != conv.out_channels:
        reason = f"it maps {conv.in_channels} channels to {conv.out_channels}, attention keeps their number"
    elif conv.stride[0] != conv.stride[1]:
        reason = f"its stride differs between rows and columns: {conv.stride}"
    elif node.shape[2:] != size:
        made = "x".join(map(str, node.shape[2:]))
        reason = f"it makes a map of {made}, and attention with a pool one of {'x'.join(map(str, size))}"
    if reason:
        return Rejection(name=node.name, code=RejectionCode.CONV_UNLIKE, reason=reason)
    site = Site(
        name=node.name,
        block=type(conv).__name__,
        layout="NCHW",
        channels=shape[1],
        height=shape[2],
        width=shape[3],
        stage=stage,
        calls=calls,
    )
    dilation = max(conv.dilation)
    note = f"the convolution's dilation of {dilation} is not kept" if dilation > 1 else ""
    return Target(site=site, shape=shape, stride=conv.stride[0], note=note)
