"""`after`: the block's output, after the addition and its activation. It never looks inside a block.

x ─┬─ conv ─ norm ─ + ─ act ─ [attention] ─
   └────────────────┘
"""

from __future__ import annotations

from attn_inject.sites.findings import FoundSite
from attn_inject.sites.recording import Recording
from attn_inject.surgery.placements.target import Target


def targets(found: FoundSite, recording: Recording) -> list[Target]:
    """The block's output, or the element of it that its addition made."""
    return [Target(site=found.site, shape=found.shape, note=found.note)]
