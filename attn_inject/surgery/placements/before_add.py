"""`before-add`: the branch, just before it is added.

x ─┬─ conv ─ norm ─ [attention] ─ + ─ act ─
   └──────────────────────────────┘
"""

from __future__ import annotations

from attn_inject.sites.findings import FoundSite
from attn_inject.sites.recording import Recording
from attn_inject.sites.site import Rejection
from attn_inject.surgery.placements.body import Choice, TracedBlock, target_in
from attn_inject.surgery.placements.target import Target


def targets(found: FoundSite, recording: Recording) -> list[Target | Rejection]:
    """The branch of the block's last addition; the end of a block without additions."""
    return [target_in(found, recording, _choose)]


def _choose(block: TracedBlock) -> Choice:
    if block.add is None or block.branch is None:
        return _block_output(block)
    return block.branch, (block.add,)


def _block_output(block: TracedBlock) -> Choice:
    end = next(node for node in block.graph.nodes if node.op == "output")
    return block.node_of(end.args[0], "the block has no addition and returns no single tensor", (end,))
