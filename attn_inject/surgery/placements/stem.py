"""`--stem`: attention instead of a residual network's stem, which is a convolution and a max pool.

Two modules are replaced: the convolution by attention that keeps the image's size, and the max pool by one
that also has the convolution's stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from attn_inject.attention.sasa_stem import WINDOW, SASAStem
from attn_inject.errors import FitError
from attn_inject.request import AttentionSpec, Option
from attn_inject.sites.nodes import Node
from attn_inject.sites.recording import Recording
from attn_inject.sites.site import Site
from attn_inject.surgery.edit import Edit

STEM, POOL = "stem", "stem-pool"


@dataclass(frozen=True)
class Enlarged:
    """A module between the stem's convolution and its pool, which then runs on a larger map.

    Attributes:
        name: Its qualified name.
        before: Shape of its input until now.
        after: Shape of its input in the modified model.
    """

    name: str
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True)
class _Stem:
    conv: Node
    between: tuple[Node, ...]
    pool: Node


def decide_stem(recording: Recording, spec: AttentionSpec) -> tuple[tuple[Edit, ...], tuple[Enlarged, ...]]:
    """The two edits that replace the stem by attention, and the modules between them.

    Args:
        recording: The run that the model was searched in.
        spec: The module that the user asked for.

    Raises:
        FitError: The module has no stem of its own, or the model's stem is of another kind.
    """
    if spec.name != "sasa":
        raise FitError(
            f"--stem needs a module with its own stem, and {spec} has none.",
            hint="sasa has one: --attn sasa --placement replace-conv --stem.",
        )
    stem = _find(recording)
    if stem is None:
        raise FitError(
            "The model's stem is not a convolution of stride 2 followed by a max pool of stride 2, "
            "so attention cannot replace it.",
            hint="Leave out --stem.",
        )
    options = {key: value for key, value in spec.options.items() if key == "heads"}
    conv, pool = stem.conv.module, stem.pool.module
    assert isinstance(conv, nn.Conv2d)
    of_image, of_map = stem.conv.inputs[0].shape, stem.pool.inputs[0].shape
    if any(length % WINDOW for length in of_image[2:]):
        raise FitError(
            f"The attention stem takes images whose sides are multiples of {WINDOW}, not "
            f"{of_image[2]}x{of_image[3]}.",
            hint="Give another --input-size, or leave out --stem.",
        )
    made = {"out_channels": conv.out_channels, **options}
    edits = (
        _edit(stem.conv, STEM, of_image, made, type(conv).__name__),
        _edit(stem.pool, POOL, of_map, {}, type(pool).__name__),
    )
    larger = (*of_map[:2], *of_image[2:])
    # A module without parameters has no counted cost, and may write into its input.
    between = [
        n.name for n in stem.between if n.module is not None and next(n.module.parameters(), None) is not None
    ]
    return edits, tuple(Enlarged(name, of_map, larger) for name in between)


def build_stem(edit: Edit) -> nn.Module:
    """The module that a stem's edit inserts."""
    if edit.placement == POOL:
        return nn.MaxPool2d(WINDOW)
    options: Mapping[str, Option] = edit.options
    return SASAStem(edit.site.channels, int(options["out_channels"]), heads=int(options.get("heads", 8)))


def _edit(
    node: Node, placement: str, shape: tuple[int, ...], options: Mapping[str, Option], block: str
) -> Edit:
    site = Site(
        name=node.name,
        block=block,
        layout="NCHW",
        channels=shape[1],
        height=shape[2],
        width=shape[3],
    )
    return Edit(
        site=site,
        module="attn_inject",
        attention="sasa",
        options=dict(options),
        placement=placement,
        start="paper",
        shape=shape,
    )


def _find(recording: Recording) -> _Stem | None:
    """The first convolution of the image and the max pool after it."""
    for call in recording.calls:
        for at, node in enumerate(call.nodes):
            if node.kind == "call" and _is_stem_convolution(node):
                chain = [node]
                for later in call.nodes[at + 1 :]:
                    if chain[-1] not in later.inputs:
                        continue
                    if isinstance(later.module, nn.MaxPool2d):
                        return _Stem(node, tuple(chain[1:]), later) if _halves(later) else None
                    if later.shape != node.shape:
                        return None
                    chain.append(later)
    return None


def _is_stem_convolution(node: Node) -> bool:
    conv = node.module
    return (
        isinstance(conv, nn.Conv2d)
        and conv.in_channels == 3
        and max(conv.kernel_size) > 1
        and conv.stride == (2, 2)
        and len(node.shape) == 4
    )


def _halves(pool: Node) -> bool:
    before, after = torch.Size(pool.inputs[0].shape), torch.Size(pool.shape)
    return all(-(-length // 2) == made for length, made in zip(before[2:], after[2:], strict=True))
