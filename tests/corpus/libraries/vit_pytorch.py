"""vit_pytorch: transformers whose stacks add in their own forward, so that no module is around a layer.

The library has no configuration objects: what states the number of layers are its constructors' arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

import torch
import vit_pytorch  # noqa: F401  (so that it is imported once, before the models fork)

from tests.corpus.case import Case, Place, of_class, partly, stated, unstated

SMALL = {"num_classes": 10, "dim": 32, "heads": 2, "mlp_dim": 64}
PATCHES = {**SMALL, "image_size": 64, "patch_size": 16, "depth": 4}
VIDEO = {**SMALL, "image_size": 32, "frames": 4, "image_patch_size": 8, "frame_patch_size": 2}
IMAGE = (2, 3, 64, 64)


def case(
    file: str,
    name: str,
    settings: Mapping[str, Any],
    counts: Mapping[str, str],
    *,
    shape: tuple[int, ...] = IMAGE,
    more: tuple[Place, ...] = (),
) -> Case:
    """A model from one of the library's files.

    Args:
        file: Which file.
        name: Its class there.
        settings: The constructor's arguments.
        counts: For the names of each stack's layers, the argument that states how many there are.
        shape: Of its input.
        more: Further places.
    """

    places = [stated(glob, _total(settings[argument])) for glob, argument in counts.items()]
    return Case(
        f"{file}.{name}",
        partial(build, file, name, settings),
        partial(torch.randn, *shape),
        lambda _: [*places, *more],
    )


def build(file: str, name: str, settings: Mapping[str, Any]) -> torch.nn.Module:
    """A class of one of the library's files, made with these arguments."""
    model: torch.nn.Module = getattr(import_module(f"vit_pytorch.{file}"), name)(**settings)
    return model


def mobile_vit(model: Any) -> list[Place]:
    """Inverted residuals, and between them stacks that the depths count."""
    why = "no argument counts the inverted residuals; those that keep size and width have a shortcut"
    residual = sum(block.use_res_connect for block in of_class(model, "MV2Block"))
    return [unstated("*:MV2Block", residual, why), stated("trunk.[0-9].1*", sum(MOBILE["depths"]))]


def _total(value: int | tuple[int, ...]) -> int:
    return sum(value) if isinstance(value, tuple) else value


PLAIN = ("vit", "ViT"), ("deepvit", "DeepViT"), ("parallel_vit", "ViT")
PLAIN += ("rvt", "RvT"), ("simple_vit", "SimpleViT"), ("vit_for_small_dataset", "ViT"), ("vit_5", "ViT")
PLAIN += ("simple_vit_with_register_tokens", "SimpleViT"), ("simple_vit_with_qk_norm", "SimpleViT")
PLAIN += ("simple_vit_with_value_residual", "SimpleViT"), ("vit_with_patch_merger", "ViT")
PLAIN += ("vit_with_patch_dropout", "ViT"), ("simple_uvit", "SimpleUViT"), ("vit_with_keel_post_ln", "ViT")

CROSS_VIT = {"image_size": 64, "num_classes": 10, "sm_dim": 32, "lg_dim": 48, "depth": 2}
CROSS_VIT |= {"sm_enc_depth": 1, "lg_enc_depth": 3, "cross_attn_depth": 2, "sm_patch_size": 8}
CROSS_VIT |= {"sm_enc_heads": 2, "lg_enc_heads": 2, "cross_attn_heads": 2}
TWINS = {
    f"s{i}_{key}": 16 * i if key == "emb_dim" else 2 for i in range(1, 5) for key in ("emb_dim", "depth")
}
TWINS |= {f"s{i}_local_patch_size": 2 for i in range(1, 5)} | {f"s{i}_global_k": 2 for i in range(1, 5)}
MOBILE = {"num_classes": 10, "image_size": (64, 64), "dims": (32, 48, 64), "depths": (2, 2, 3)}
MOBILE |= {"channels": (16, 16, 24, 24, 32, 32, 48, 48, 64, 64, 96)}
IN_MODEL = "(model):*:in-model"
PAIRS = "each layer has two attentions with an MLP each (the last stage one), and each stage one layer more"
CVT = {"s1_depth": 1, "s2_depth": 2, "s3_depth": 3, "s1_emb_dim": 16, "s2_emb_dim": 32, "s3_emb_dim": 64}

CASES = [
    *(case(file, name, PATCHES, {"transformer*": "depth"}) for file, name in PLAIN),
    case("jumbo_vit", "JumboViT", PATCHES, {}, more=(Place("layers*", 4, 4, refusal=IN_MODEL),)),
    case("normalized_vit", "nViT", PATCHES, {"layers*": "depth"}),
    case(
        "cait",
        "CaiT",
        {**PATCHES, "cls_depth": 2},
        {"patch_transformer*": "depth", "cls_transformer*": "cls_depth"},
    ),
    case(
        "xcit",
        "XCiT",
        {**PATCHES, "cls_depth": 2},
        {"xcit_transformer*": "depth", "cls_transformer*": "cls_depth"},
    ),
    case(
        "cct",
        "CCT",
        {"img_size": 64, "embedding_dim": 32, "num_layers": 4, "num_heads": 2, "mlp_ratio": 2.0}
        | {"num_classes": 10, "positional_embedding": "learnable"},
        {"classifier.blocks.*": "num_layers"},
    ),
    case(
        "cross_vit",
        "CrossViT",
        CROSS_VIT,
        {},
        more=(
            stated("multi_scale_encoder.layers.[0-9].0*", 2 * 1),
            stated("multi_scale_encoder.layers.[0-9].1*", 2 * 3),
            stated("multi_scale_encoder.layers.[0-9].2*", 2 * 2),
        ),
    ),
    case(
        "crossformer",
        "CrossFormer",
        {"num_classes": 10, "dim": (32, 32, 64, 64), "depth": (1, 1, 2, 1), "local_window_size": 2},
        {"layers*": "depth"},
    ),
    case("cvt", "CvT", {"num_classes": 10, **CVT}, {}, more=(stated("layers*", 1 + 2 + 3),)),
    case(
        "levit",
        "LeViT",
        {"image_size": 64, "num_classes": 10, "dim": (32, 48, 64), "depth": 2, "heads": (2, 2, 2)}
        | {"mlp_mult": 2, "stages": 3},
        {},
        more=(stated("backbone*", 2 * 3),),
    ),
    case(
        "pit",
        "PiT",
        {**SMALL, "image_size": 64, "patch_size": 8, "depth": (1, 2, 2), "heads": (2, 2, 2)},
        {"layers*": "depth"},
    ),
    case(
        "t2t",
        "T2TViT",
        {**SMALL, "image_size": 64, "depth": 3, "t2t_layers": ((7, 4), (3, 2), (3, 2))},
        {"transformer*": "depth"},
        more=(
            partly(
                "to_patch_embedding*",
                0,
                2,
                "each tokens-to-token step but the last has a Transformer of depth 1 that no argument counts",
            ),
        ),
    ),
    case(
        "regionvit",
        "RegionViT",
        {"num_classes": 10, "dim": (16, 32, 48, 64), "depth": (1, 1, 2, 1), "window_size": 2},
        {"layers*": "depth"},
    ),
    case(
        "scalable_vit",
        "ScalableViT",
        {"num_classes": 10, "dim": 16, "depth": (1, 1, 2, 1), "heads": (1, 1, 2, 2)}
        | {"reduction_factor": (4, 2, 1, 1), "window_size": (4, 4, None, None)},
        {"layers*": "depth"},
    ),
    case(
        "sep_vit",
        "SepViT",
        {"num_classes": 10, "dim": 16, "depth": (1, 1, 2, 1), "heads": (1, 1, 2, 2), "window_size": 7},
        {"layers*": "depth"},
        shape=(1, 3, 224, 224),
    ),
    case(
        "nest",
        "NesT",
        {"num_classes": 10, "image_size": 64, "patch_size": 4, "dim": 32, "heads": 2}
        | {"num_hierarchies": 3, "block_repeats": (2, 2, 3)},
        {"layers*": "block_repeats"},
    ),
    case(
        "twins_svt",
        "TwinsSVT",
        {"num_classes": 10, **TWINS},
        {},
        more=(partly("layers*", 4 * 2, 3 * 3 * 2 + 3, PAIRS),),
    ),
    case(
        "max_vit",
        "MaxViT",
        {"num_classes": 10, "dim": 32, "depth": (1, 1, 2, 1), "window_size": 2, "dim_head": 16},
        {},
        more=(
            unstated(
                "*:MBConvResidual",
                1,
                "each layer begins with an MBConv; that which changes the size has no shortcut",
            ),
            Place(
                "layers*:Residual",
                1 + 1 + 2 + 1,
                2 * (1 + 1 + 2 + 1),
                "each layer has two attentions with an MLP each, in windows and in a grid",
                refusal="layers*:Residual:no-layout",
            ),
        ),
    ),
    Case(
        "mobile_vit.MobileViT",
        partial(build, "mobile_vit", "MobileViT", MOBILE),
        partial(torch.randn, *IMAGE),
        mobile_vit,
    ),
    case(
        "look_vit",
        "LookViT",
        {"num_classes": 10, "dim": 32, "image_size": 64, "depth": 3, "patch_size": 16, "heads": 2}
        | {"highres_patch_size": 8, "cross_attn_heads": 2},
        {},
        more=(Place("layers*", 3, 3, refusal=IN_MODEL),),
    ),
    case("vit_3d", "ViT", {**VIDEO, "depth": 4}, {"transformer*": "depth"}, shape=(2, 3, 4, 32, 32)),
    case(
        "simple_vit_3d",
        "SimpleViT",
        {**VIDEO, "depth": 4},
        {"transformer*": "depth"},
        shape=(2, 3, 4, 32, 32),
    ),
    case(
        "vivit",
        "ViViT",
        {**VIDEO, "spatial_depth": 2, "temporal_depth": 3},
        {"spatial_transformer*": "spatial_depth", "temporal_transformer*": "temporal_depth"},
        shape=(2, 3, 4, 32, 32),
    ),
]
