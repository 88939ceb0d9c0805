"""spandrel: image restoration and super-resolution, each network a long skip around groups of blocks.

Every model keeps the arguments that it was built with, `model.hyperparameters`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import spandrel  # noqa: F401  (so that it is imported once, before the models fork)
import torch

from tests.corpus.case import Case, Place, layers, no_blocks, stated, unstated

Places = Callable[[Any], Sequence[Place]]
Counts = Callable[[Mapping[str, Any]], int]
WINDOWS = {"img_size": 32, "embed_dim": 16, "depths": (2, 3), "num_heads": (2, 2), "window_size": 4}
WINDOWS |= {"upscale": 2, "upsampler": "pixelshuffle", "mlp_ratio": 2.0}
MIDDLE = {"enc_blk_nums": [1, 2], "middle_blk_num": 2, "dec_blk_nums": [1, 1]}


def case(
    name: str,
    settings: Mapping[str, Any],
    places: Places,
    *,
    channels: int = 3,
    size: int = 32,
    package: str = "",
    extra: bool = False,
) -> Case:
    """A network of spandrel, or of its extra architectures, with two images of `size` pixels."""
    owner = "spandrel_extra_arches" if extra else "spandrel"

    def build() -> torch.nn.Module:
        module = import_module(f"{owner}.architectures.{package or name}")
        model: torch.nn.Module = getattr(module, name)(**settings)
        return model

    return Case(name, build, partial(torch.rand, 2, channels, size, size), places)


def of(kind: str, count: Counts) -> Places:
    """Blocks of one class that the arguments count."""
    return lambda model: [layers(kind, count(model.hyperparameters))]


def depths(kind: str) -> Places:
    """Blocks of one class that `depths` counts."""
    return of(kind, lambda settings: sum(settings["depths"]))


def around_middle(kind: str) -> Places:
    """Blocks of an encoder, a middle and a decoder."""
    return of(kind, lambda s: sum(s["enc_blk_nums"]) + s["middle_blk_num"] + sum(s["dec_blk_nums"]))


def fdat(settings: Mapping[str, Any]) -> int:
    """Groups that repeat a pattern of blocks."""
    return settings["num_groups"] * settings["depth_per_group"] * len(settings["group_block_pattern"])


def hat(model: Any) -> list[Place]:
    """Groups that end with an overlapping attention."""
    every = model.hyperparameters["depths"]
    why = "each group ends with an overlapping cross-attention that depths does not count"
    return [layers("HAB", sum(every)), unstated("*:OCAB", len(every), why)]


def craft(model: Any) -> list[Place]:
    """Each unit of `depths` is two attentions, a high-frequency block, and their fusion."""
    units = sum(model.hyperparameters["depths"])
    why = "each unit has two window attentions, and one high-frequency block beside them"
    fused = "each unit ends with a fusion that adds to its low-frequency argument"
    return [
        unstated("*:SRWAB", 2 * units, why),
        layers("HFERB", units),
        unstated("*:HFB", units, fused),
    ]


def retinexformer(model: Any) -> list[Place]:
    """In each stage a U-net of attentions, which add in the forward of IGAB."""
    settings = model.hyperparameters
    *around, middle = settings["num_blocks"]
    return [stated("*denoiser*", settings["stage"] * (2 * sum(around) + middle))]


def restormer(model: Any) -> list[Place]:
    """A U-net: every level but the lowest on both sides, and a refinement."""
    settings = model.hyperparameters
    *around, lowest = settings["num_blocks"]
    return [layers("TransformerBlock", 2 * sum(around) + lowest + settings["num_refinement_blocks"])]


def mosr(model: Any) -> list[Place]:
    """Gated blocks, beside a block of two convolutions with a projection."""
    why = "beside the chain of blocks stands one block of two convolutions with a 1x1 convolution around them"
    return [
        layers("GatedCNNBlock", model.hyperparameters["n_block"]),
        unstated("shortcut:ConvBlock", 1, why),
    ]


def span(_: Any) -> list[Place]:
    """Six blocks that stand in the code; their sum is multiplied by a gate."""
    why = "the code lists six blocks; each multiplies its sum by a gate and returns three maps"
    return [unstated("*:SPAB", 6, why)]


CASES = [
    case("ESRGAN", {"num_filters": 16, "num_blocks": 3, "scale": 2}, of("RRDB", lambda s: s["num_blocks"])),
    case(
        "RCAN",
        {"scale": 2, "n_resgroups": 2, "n_resblocks": 3, "n_feats": 16, "reduction": 4},
        of("RCAB", lambda s: s["n_resgroups"] * s["n_resblocks"]),
    ),
    case("SwinIR", WINDOWS, depths("SwinTransformerBlock")),
    case("Swin2SR", WINDOWS, depths("SwinTransformerBlock")),
    case("SRFormer", {**WINDOWS, "window_size": 8}, depths("PSA_Block"), extra=True),
    case("HAT", {**WINDOWS, "squeeze_factor": 4}, hat),
    case("DRCT", {**WINDOWS, "gc": 8}, of("RDG", lambda s: len(s["depths"]))),
    case(
        "DAT",
        {"img_size": 32, "embed_dim": 16, "split_size": [2, 4], "depth": [2, 2], "num_heads": [2, 2]},
        of("DATB", lambda s: sum(s["depth"])),
    ),
    case(
        "CRAFT",
        {"embed_dim": 24, "depths": [1, 2], "num_heads": [2, 2], "window_size": 8, "split_size_1": 8},
        craft,
    ),
    case(
        "FDAT",
        {"embed_dim": 24, "num_groups": 2, "depth_per_group": 3, "num_heads": 2, "scale": 2, "mid_dim": 16}
        | {"group_block_pattern": ["spatial", "channel"]},
        of("SimplifiedDATBlock", fdat),
    ),
    case(
        "SCUNet",
        {"config": [1, 1, 2, 2, 1, 1, 1], "dim": 64},
        of("ConvTransBlock", lambda s: sum(s["config"])),
        size=64,
    ),
    case(
        "DRUNet",
        {"in_nc": 3, "out_nc": 3, "nc": [8, 16, 24, 32], "nb": 2},
        of("ResBlock", lambda s: s["nb"] * (2 * len(s["nc"]) - 1)),
    ),
    case("NAFNet", {"width": 8, **MIDDLE}, around_middle("NAFBlock")),
    case("KBNet_s", {"width": 8, **MIDDLE}, around_middle("KBBlock_s"), package="KBNet"),
    case(
        "RealPLKSR",
        {"dim": 16, "n_blocks": 4, "upscaling_factor": 2, "kernel_size": 7},
        of("PLKBlock", lambda s: s["n_blocks"]),
        package="PLKSR",
    ),
    case("SAFMN", {"dim": 16, "n_blocks": 4, "upscaling_factor": 2}, of("AttBlock", lambda s: s["n_blocks"])),
    case(
        "Uformer",
        {"img_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1, 2, 1, 1, 1, 1], "win_size": 4}
        | {"num_heads": [1, 1, 2, 2, 2, 2, 2, 1, 1]},
        depths("LeWinTransformerBlock"),
        size=64,
    ),
    case(
        "MixDehazeNet",
        {"embed_dims": [8, 16, 24, 16, 8], "depths": [1, 1, 2, 1, 1]},
        depths("MixStructureBlock"),
        size=64,
    ),
    case(
        "MoSR",
        {"dim": 16, "n_block": 4, "upscale": 2, "upsampler": "ps"},
        mosr,
    ),
    case(
        "SwiftSRGAN",
        {"num_channels": 16, "num_blocks": 4, "upscale_factor": 2},
        of("ResidualBlock", lambda s: s["num_blocks"]),
    ),
    case("SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 16, "upscale": 2}, span),
    case("RetinexFormer", {"n_feat": 16, "stage": 2, "num_blocks": [1, 2, 2]}, retinexformer),
    case(
        "Restormer",
        {"dim": 8, "num_blocks": [1, 1, 1, 2], "num_refinement_blocks": 2, "heads": [1, 1, 2, 2]},
        restormer,
        extra=True,
    ),
    case(
        "Compact",
        {"num_feat": 16, "num_conv": 4, "upscale": 2},
        lambda _: no_blocks("a chain of convolutions; only the enlarged image is added at the end"),
    ),
]
