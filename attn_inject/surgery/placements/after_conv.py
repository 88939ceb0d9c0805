"""`after-conv`: the output of the block's spatial convolution, after its norm and activation.

x ─┬─ conv 3x3 ─ norm ─ act ─ [attention] ─ conv ─ norm ─ + ─ act ─
   └──────────────────────────────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import fx, nn

from attn_inject.sites.findings import FoundSite
from attn_inject.sites.recording import Recording
from attn_inject.sites.site import Rejection
from attn_inject.sites.tensors import has_weight
from attn_inject.surgery.placements.body import Choice, TracedBlock, spatial_conv, target_at_conv
from attn_inject.surgery.placements.target import Target

ACTIVATIONS = ("relu", "relu6", "gelu", "silu", "hardswish", "hardtanh", "elu", "leaky_relu")


def targets(found: FoundSite, recording: Recording) -> list[Target | Rejection]:
    """The value after the branch's last spatial convolution, even inside a child."""
    return [target_at_conv(found, recording, _choose)]


def _choose(block: TracedBlock) -> Choice:
    node = spatial_conv(block)
    if node is None:
        return "the block has no spatial convolution"
    modules = dict(block.module.named_modules())
    while (follower := _norm_or_activation(node, modules, block.values)) is not None:
        node = follower
    return node, tuple(node.users)


def _norm_or_activation(
    node: fx.Node, modules: Mapping[str, nn.Module], values: Mapping[str, torch.Tensor]
) -> fx.Node | None:
    """The only user of a node, if it is a norm, an activation or a similar layer."""
    if len(node.users) != 1:
        return None
    user = next(iter(node.users))
    if user.op == "call_module":
        follows = not has_weight(modules[str(user.target)])
    else:
        follows = getattr(user.target, "__name__", str(user.target)) in ACTIVATIONS
    same = user.name in values and values[user.name].shape == values[node.name].shape
    return user if follows and same else None
