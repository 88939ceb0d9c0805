"""Figures of the placements, drawn by the tool itself from blocks of two small models."""

from __future__ import annotations

import functools

import attn_inject
from attn_inject.operate.pictures import DRAWN

_BLOCKS = {"replace-attention": ("mobilenetv3_small_100", "blocks.2.1")}
_PLAIN = ("test_resnet", "layer3.0")
README = ("before-block", "before-add", "after", "on-shortcut", "replace-conv")


@functools.cache
def placement_figure(*placements: str) -> str:
    """A block without attention, and with it at some placements."""
    model, site = _BLOCKS.get(placements[0], _PLAIN)
    return attn_inject.draw_placements(model, site=site, placements=placements)


FIGURES = {**{f"placement-{name}": (name,) for name in DRAWN}, "placements": README}
