"""`on-shortcut`: the shortcut, after its projection.

x ─┬─ conv ─ norm ────────────────── + ─ act ─
   └─ [projection] ─ [attention] ────┘
"""

from __future__ import annotations

from attn_inject.sites.findings import FoundSite
from attn_inject.sites.recording import Recording
from attn_inject.sites.site import Reason, Rejection, RejectionCode
from attn_inject.surgery.placements.body import Choice, TracedBlock, target_in
from attn_inject.surgery.placements.target import Target

NONE = Reason(RejectionCode.NO_PLACE, "the block has no shortcut")


def targets(found: FoundSite, recording: Recording) -> list[Target | Rejection]:
    """The other operand of the block's last addition."""
    if found.addition is None:
        return [Rejection.of(found.site.name, NONE)]
    return [target_in(found, recording, _choose)]


def _choose(block: TracedBlock) -> Choice:
    assert block.add is not None
    assert block.shortcut is not None
    return block.shortcut, (block.add,)
