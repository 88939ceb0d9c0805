"""The rows of the catalogue whose modules add what other positions or channels hold; see `catalog`."""

from __future__ import annotations

from typing import Any, Final

from attn_inject.attention.registry import Entry

_DANET: Final[dict[str, Any]] = {
    "title": "Dual Attention Network for Scene Segmentation",
    "authors": "Fu et al.",
    "year": 2018,
    "arxiv": "1809.02983",
    "placement": "after",
    "stages": (4,),
    "blocks": "last",
}

CONTEXT: Final[tuple[Entry, ...]] = (
    Entry(
        name="danet-position",
        target="attn_inject.attention.danet:PositionAttention",
        options={"reduction": 8},
        summary="adds to each position a mean of all, weighted by likeness",
        parameters="2 * C * max(1, C // r) + 2 * max(1, C // r) + C * C + C + 1",
        **_DANET,
    ),
    Entry(
        name="danet-channel",
        target="attn_inject.attention.danet:ChannelAttention",
        summary="adds to each channel a mean of all, weighted by how different they are",
        parameters="1",
        **_DANET,
    ),
    Entry(
        name="criss-cross",
        target="attn_inject.attention.criss_cross:CrissCross",
        options={"reduction": 8, "recurrence": 2},
        title="CCNet: Criss-Cross Attention for Semantic Segmentation",
        authors="Huang et al.",
        year=2018,
        arxiv="1811.11721",
        placement="after",
        stages=(4,),
        blocks="last",
        summary="adds to each position a mean of its row and column, weighted by likeness; twice",
        parameters="2 * C * max(1, C // r) + 2 * max(1, C // r) + C * C + C + 1",
        aliases=("ccnet",),
    ),
)
