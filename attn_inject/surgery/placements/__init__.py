"""Where in a block a module acts: one file per placement, named after it; nothing is edited here.

To add one: a file here with a function `targets`, and its row in `request.PLACEMENTS`.
"""

from __future__ import annotations

import importlib

from attn_inject.request import PLACEMENTS
from attn_inject.sites.findings import FoundSite
from attn_inject.sites.recording import Recording
from attn_inject.sites.site import Rejection
from attn_inject.surgery.placements.target import Target

# The placements that rewrite the traced body of a block.
INNER = tuple(name for name in PLACEMENTS if name not in ("after", "paper") and "replace" not in name)


def targets(placement: str, found: FoundSite, recording: Recording) -> list[Target | Rejection]:
    """What a module with this placement acts on at a site, or the reasons why it cannot.

    Args:
        placement: A key of `request.PLACEMENTS` other than `paper`.
        found: The site with its recorded call.
        recording: The run that it was found in.
    """
    file = importlib.import_module(f"{__name__}.{placement.replace('-', '_')}")
    acted_on: list[Target | Rejection] = file.targets(found, recording)
    return acted_on
