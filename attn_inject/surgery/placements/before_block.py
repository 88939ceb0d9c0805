"""`before-block`: the input of the branch.

x ─┬─ [attention] ─ conv ─ norm ─ + ─ act ─
   └──────────────────────────────┘
"""

from __future__ import annotations

from attn_inject.sites.findings import FoundSite
from attn_inject.sites.recording import Recording
from attn_inject.sites.site import Rejection
from attn_inject.surgery.placements.body import Choice, TracedBlock, ancestors, target_in
from attn_inject.surgery.placements.target import Target


def targets(found: FoundSite, recording: Recording) -> list[Target | Rejection]:
    """The first value of the branch; the input if the block has no addition."""
    return [target_in(found, recording, _choose)]


def _choose(block: TracedBlock) -> Choice:
    branch, shortcut = block.branch, block.shortcut
    if branch is None or shortcut is None:
        first = next(node for node in block.graph.nodes if node.op == "placeholder")
        return first, tuple(first.users)
    shared = ancestors(shortcut)
    inner = ancestors(branch) - shared
    heads = {
        head: tuple(user for user in head.users if user in inner)
        for head in block.graph.nodes
        if head in shared and head.op != "get_attr" and head.name in block.values
    }
    heads = {head: users for head, users in heads.items() if users}
    if len(heads) != 1:
        return f"its branch has {len(heads)} inputs, not one"
    return next(iter(heads.items()))
