"""The built-in attention modules, one row per name; reading it imports no torch.

Each row's `options` are complete, so that a listing can show them; where several names lead to one class
they are what tells the names apart. `parameters` is a formula that Python can compute: C channels, H rows
and W columns of the map; r, k and G are the options `reduction`, `kernel_size` and `groups`.
"""

from __future__ import annotations

from typing import Any, Final

from attn_inject.registry import Entry

_ELA: Final[dict[str, Any]] = {
    "target": "attn_inject.attention.ela:ELA",
    "title": "ELA: Efficient Local Attention for Deep Convolutional Neural Networks",
    "authors": "Xu and Wan",
    "year": 2024,
    "arxiv": "2403.01123",
    "placement": "after-conv",
}
_NAM: Final[dict[str, Any]] = {
    "title": "NAM: Normalization-based Attention Module",
    "authors": "Liu et al.",
    "year": 2021,
    "arxiv": "2111.12419",
    "placement": "before-add",
}

ROWS: Final[tuple[Entry, ...]] = (
    Entry(
        name="se",
        target="attn_inject.attention.se:SE",
        options={"reduction": 16, "bias": True},
        title="Squeeze-and-Excitation Networks",
        authors="Hu et al.",
        year=2017,
        arxiv="1709.01507",
        placement="before-add",
        acts_on="channel",
        summary="gates each channel by a two-layer perceptron of the channel means",
        parameters="2 * C * max(1, C // r) + C + max(1, C // r)",
        aliases=("squeeze-excitation",),
    ),
    Entry(
        name="eca",
        target="attn_inject.attention.eca:ECA",
        options={"kernel_size": "auto"},
        title="ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks",
        authors="Wang et al.",
        year=2019,
        arxiv="1910.03151",
        placement="before-add",
        acts_on="channel",
        summary="gates each channel by a small convolution along the channel means",
        parameters="int((log2(C) + 1) / 2) // 2 * 2 + 1",
        aliases=("efficient-channel",),
    ),
    Entry(
        name="ela-t",
        options={"kernel_size": 5, "groups": "C", "num_groups": 32, "shared": True},
        summary="gates rows and columns by a depthwise convolution of their means; the smallest ELA",
        parameters="7 * C",
        **_ELA,
    ),
    Entry(
        name="ela-b",
        options={"kernel_size": 7, "groups": "C", "num_groups": 16, "shared": True},
        summary="gates rows and columns by a wider depthwise convolution of their means",
        parameters="9 * C",
        **_ELA,
    ),
    Entry(
        name="ela-s",
        options={"kernel_size": 5, "groups": "C/8", "num_groups": 16, "shared": True},
        summary="gates rows and columns by a convolution in groups of 8 channels of their means",
        parameters="42 * C",
        **_ELA,
    ),
    Entry(
        name="ela-l",
        options={"kernel_size": 7, "groups": "C/8", "num_groups": 16, "shared": True},
        summary="gates rows and columns by a wider convolution in groups of 8 channels; the largest ELA",
        parameters="58 * C",
        **_ELA,
    ),
    Entry(
        name="ca",
        target="attn_inject.attention.ca:CA",
        options={"reduction": 32},
        title="Coordinate Attention for Efficient Mobile Network Design",
        authors="Hou et al.",
        year=2021,
        arxiv="2103.02907",
        placement="after-conv",
        summary="gates rows and columns by a bottleneck that both share",
        parameters="3 * max(8, C // r) * C + 3 * max(8, C // r) + 2 * C",
        aliases=("coordinate", "coord"),
    ),
    Entry(
        name="sa",
        target="attn_inject.attention.sa:SA",
        options={"groups": 64},
        title="SA-Net: Shuffle Attention for Deep Convolutional Neural Networks",
        authors="Zhang and Yang",
        year=2021,
        arxiv="2102.00240",
        placement="before-add",
        summary="in each group gates half the channels by channel, half by position, then shuffles",
        parameters="3 * C // G",
        aliases=("shuffle",),
    ),
    Entry(
        name="nam",
        target="attn_inject.attention.nam:NAM",
        summary="gates channels, then positions, by the share of their norm's scale; one map size only",
        parameters="2 * C + 2 * H * W",
        **_NAM,
    ),
    Entry(
        name="nam-channel",
        target="attn_inject.attention.nam:NAMChannel",
        summary="gates a normalised map by each channel's share of the norm's scale",
        parameters="2 * C",
        **_NAM,
    ),
    Entry(
        name="nam-spatial",
        target="attn_inject.attention.nam:NAMSpatial",
        summary="gates a normalised map by each position's share of the norm's scale; one map size only",
        parameters="2 * H * W",
        **_NAM,
    ),
    Entry(
        name="cbam",
        target="attn_inject.attention.cbam:CBAM",
        options={"reduction": 16, "kernel_size": 7, "bias": True},
        title="CBAM: Convolutional Block Attention Module",
        authors="Woo et al.",
        year=2018,
        arxiv="1807.06521",
        placement="before-add",
        summary="gates channels by their means and maxima, then positions by theirs",
        parameters="2 * C * max(1, C // r) + C + max(1, C // r) + 2 * k * k + 2",
    ),
)
