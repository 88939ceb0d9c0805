"""The rows of the catalogue whose modules take a convolution's place; see `catalog`."""

from __future__ import annotations

from typing import Final

from attn_inject.attention.registry import Entry

LAYERS: Final[tuple[Entry, ...]] = (
    Entry(
        name="sk",
        target="attn_inject.attention.sk:SK",
        options={"reduction": 16, "groups": 32},
        title="Selective Kernel Networks",
        authors="Li et al.",
        year=2019,
        arxiv="1903.06586",
        placement="replace-conv",
        summary="mixes two convolutions of different dilation, channel by channel",
        parameters="18 * C * C // G + 4 * C + (3 * C + 2) * max(C // r, 32)",
        aliases=("selective-kernel",),
    ),
    Entry(
        name="sasa",
        target="attn_inject.attention.sasa:SASA",
        options={"kernel_size": 7, "heads": 8},
        title="Stand-Alone Self-Attention in Vision Models",
        authors="Ramachandran et al.",
        year=2019,
        arxiv="1906.05909",
        placement="replace-conv",
        summary="lets each position attend to the window around it; takes a convolution's place",
        parameters="3 * C * C + k * (C // E)",
        aliases=("stand-alone",),
    ),
    Entry(
        name="involution",
        target="attn_inject.attention.involution:Involution",
        options={"kernel_size": 7, "reduction": 4, "group_channels": 16},
        title="Involution: Inverting the Inherence of Convolution for Visual Recognition",
        authors="Li et al.",
        year=2021,
        arxiv="2103.06255",
        placement="replace-conv",
        summary="sums each window by a kernel that its position makes; takes a convolution's place",
        parameters="C * max(1, C // r) + 2 * max(1, C // r) + (max(1, C // r) + 1) * k * k * (C // 16)",
    ),
    Entry(
        name="cot",
        target="attn_inject.attention.cot:CoT",
        title="Contextual Transformer Networks for Visual Recognition",
        authors="Li et al.",
        year=2021,
        arxiv="2107.12292",
        placement="replace-conv",
        summary="mixes a convolution with a 3x3 window weighted by what it found; takes its place",
        parameters="(77 * C * C + 198 * C) // 16 + max(C // 2, 32) * (3 * C + 3)",
        aliases=("contextual-transformer",),
    ),
    Entry(
        name="epsa",
        target="attn_inject.attention.epsa:EPSA",
        options={"reduction": 16, "groups": 16},
        title="EPSANet: An Efficient Pyramid Squeeze Attention Block on Convolutional Neural Network",
        authors="Zhang et al.",
        year=2021,
        arxiv="2105.14447",
        placement="replace-conv",
        summary="weighs four convolutions of growing kernels against each other, channel by channel",
        parameters="C // 4 * (9 * C // max(1, G // 16) + 25 * C // max(1, G // 4) + 49 * C // max(1, G // 2) "
        "+ 81 * C // G) + 2 * (C // 4) * max(1, C // 4 // r) + max(1, C // 4 // r) + C // 4",
        aliases=("pyramid-squeeze",),
    ),
    Entry(
        name="splat",
        target="attn_inject.attention.splat:SplitAttention",
        options={"radix": 2, "reduction": 4},
        title="ResNeSt: Split-Attention Networks",
        authors="Zhang et al.",
        year=2020,
        arxiv="2004.08955",
        placement="replace-conv",
        summary="mixes the two halves of a grouped convolution, channel by channel; takes its place",
        parameters="9 * C * C + 6 * C + 3 * max(2 * C // r, 32) * (C + 1)",
        aliases=("split-attention",),
    ),
)
