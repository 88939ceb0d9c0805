"""`before-norm`: the output of the block's spatial convolution itself, before its norm and activation.

x ─┬─ conv 3x3 ─ [attention] ─ norm ─ act ─ conv ─ norm ─ + ─ act ─
   └──────────────────────────────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx, nn

from attn_inject.sites.findings import FoundSite
from attn_inject.sites.recording import Recording
from attn_inject.sites.site import Rejection
from attn_inject.sites.tensors import has_weight
from attn_inject.surgery.placements.body import Choice, TracedBlock, spatial_conv, target_at_conv
from attn_inject.surgery.placements.target import Target

NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm")


def targets(found: FoundSite, recording: Recording) -> list[Target | Rejection]:
    """The value that the branch's last spatial convolution returns, even inside a child."""
    return [target_at_conv(found, recording, _choose, bare=True)]


def _choose(block: TracedBlock) -> Choice:
    node = spatial_conv(block)
    if node is None:
        return "the block has no spatial convolution"
    if not _reaches_a_norm(node, dict(block.module.named_modules())):
        return "no norm follows its spatial convolution"
    return node, tuple(node.users)


def _reaches_a_norm(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether the next layer that computes with weights or statistics is a norm."""
    while len(node.users) == 1:
        node = next(iter(node.users))
        if node.op == "call_module":
            layer = modules[str(node.target)]
            if any("Norm" in type(part).__name__ for part in layer.modules()):
                return not has_weight(layer)
            if has_weight(layer):
                return False
        elif getattr(node.target, "__name__", str(node.target)) in NORMS:
            return True
    return False
