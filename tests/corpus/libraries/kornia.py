"""kornia: recognition, super-resolution, edges, detection and image matching."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import torch

from tests.corpus.case import Case, Place, layers, no_blocks, of_class, unstated

Places = Callable[[Any, Mapping[str, Any]], Sequence[Place]]


def case(
    file: str, name: str, settings: Mapping[str, Any], places: Places, *shape: int, title: str = ""
) -> Case:
    """A network of one of the library's files, with two samples of `shape`."""
    kind = getattr(import_module(f"kornia.{file}"), name)
    return Case(
        title or name,
        lambda: kind(**settings),
        partial(torch.rand, 2, *shape),
        lambda model: places(model, settings),
    )


def of(kind: str, argument: str) -> Places:
    """Blocks of one class that an argument counts."""
    return lambda _, settings: [layers(kind, settings[argument])]


def mobile_vit(model: Any, _: Mapping[str, Any]) -> list[Place]:
    """Inverted residuals, and stacks that add in their own forward."""
    why = "the depths 2, 4 and 3, and the inverted residuals between them, stand in the code"
    return [
        unstated("*:MV2Block", sum(block.use_res_connect for block in of_class(model, "MV2Block")), why),
        unstated("*transformer*", sum(len(stack.layers) for stack in of_class(model, "Transformer")), why),
    ]


def tiny_vit(_: Any, settings: Mapping[str, Any]) -> list[Place]:
    """A stage of convolutions, then stages of windows."""
    first, *rest = settings["depths"]
    return [layers("MBConv", first), layers("TinyViTBlock", sum(rest))]


def efficient_vit(model: Any, _: Mapping[str, Any]) -> list[Place]:
    """Every residual is one class; an EfficientViTBlock is two of them in a row."""
    residual = sum(block.shortcut is not None for block in of_class(model, "ResidualBlock"))
    pairs = len(of_class(model, "EfficientViTBlock"))
    inner = sum(
        child.shortcut is not None
        for block in of_class(model, "EfficientViTBlock")
        for child in block.modules()
        if type(child).__name__ == "ResidualBlock"
    )
    why = "depth_list counts blocks of several kinds; those with an identity or a projection add to it"
    return [
        unstated(
            "*:EfficientViTBlock",
            pairs,
            "a context module and a local module, each with a shortcut, are one block",
        ),
        unstated("*:ResidualBlock", residual - inner, why),
    ]


def dexined(model: Any, _: Mapping[str, Any]) -> list[Place]:
    """Dense layers that average what they make with an argument that every layer of the block gets."""
    why = "each layer averages what it makes of one argument with the other, which all layers share"
    return [unstated("*:_DenseLayer", len(of_class(model, "_DenseLayer")), why)]


def loftr_backbone(model: Any, _: Mapping[str, Any]) -> list[Place]:
    """Two blocks a stage."""
    why = "block_dims names the stages; each has two blocks that stand in the code"
    return [unstated("*:BasicBlock", len(of_class(model, "BasicBlock")), why)]


def aliked(model: Any, _: Mapping[str, Any]) -> list[Place]:
    """Two stages of residual blocks."""
    return [unstated("*:ResBlock", len(of_class(model, "ResBlock")), "the number stands in the code")]


def rtdetr(model: Any, _: Mapping[str, Any]) -> list[Place]:
    """A ResNet, an encoder of one attention and merges, and a decoder."""
    merged = "it adds its re-parameterisable convolutions to a 1x1 convolution of the same input"
    return [
        unstated(
            "*:BasicBlockD",
            len(of_class(model, "BasicBlockD")),
            "the variant's name states 18 layers: 2, 2, 2, 2",
        ),
        unstated("*:AIFI", 1, "one layer of attention on the smallest map stands in the code"),
        unstated("*:CSPRepLayer", len(of_class(model, "CSPRepLayer")), merged),
        layers("TransformerDecoderLayer", 2),
    ]


def build_rtdetr() -> torch.nn.Module:
    """The smallest variant, with fewer queries and decoder layers."""
    module = import_module("kornia.models.rt_detr.model")
    config = module.RTDETRConfig(
        "resnet18d",
        num_classes=5,
        head_num_queries=10,
        head_num_decoder_layers=2,
        neck_hidden_dim=64,
        head_hidden_dim=64,
    )
    model: torch.nn.Module = module.RTDETR.from_config(config)
    return model


def build_efficient_vit() -> torch.nn.Module:
    """The first variant's shape, narrower."""
    backbone = import_module("kornia.models.efficient_vit.backbone")
    model: torch.nn.Module = backbone.EfficientViTBackbone(
        width_list=[8, 16, 32, 48, 64], depth_list=[1, 2, 2, 2, 2], dim=16
    )
    return model


LOFTR = {"config": {"initial_dim": 16, "block_dims": [16, 24, 32]}}
TINY = {"img_size": 64, "embed_dims": (16, 32, 48, 64), "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 2)}
TINY |= {"window_sizes": (4, 4, 4, 2), "num_classes": 5}

CASES = [
    case(
        "models.vit",
        "VisionTransformer",
        {"image_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2},
        of("TransformerEncoderBlock", "depth"),
        *(3, 32, 32),
    ),
    case("models.vit_mobile", "MobileViT", {"mode": "xxs"}, mobile_vit, 3, 256, 256),
    case("models.tiny_vit", "TinyViT", TINY, tiny_vit, 3, 64, 64),
    Case(
        "EfficientViTBackbone",
        build_efficient_vit,
        partial(torch.rand, 2, 3, 64, 64),
        lambda model: efficient_vit(model, {}),
    ),
    case(
        "models.sam.architecture.image_encoder",
        "ImageEncoderViT",
        {"img_size": 64, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2, "out_chans": 16}
        | {"window_size": 4, "use_rel_pos": True, "global_attn_indexes": (1, 3)},
        of("Block", "depth"),
        *(3, 64, 64),
    ),
    case(
        "models.rrdbnet",
        "RRDBNet",
        {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 16, "num_block": 3, "num_grow_ch": 8},
        of("RRDB", "num_block"),
        *(3, 16, 16),
    ),
    case(
        "models.small_sr",
        "SmallSRNet",
        {"upscale_factor": 2, "pretrained": False},
        lambda _model, _settings: no_blocks("a chain of convolutions"),
        *(1, 32, 32),
    ),
    case("models.dexined", "DexiNed", {"pretrained": False}, dexined, 3, 64, 64),
    Case("RTDETR", build_rtdetr, partial(torch.rand, 2, 3, 64, 64), lambda model: rtdetr(model, {})),
    case("feature.loftr.backbone.resnet_fpn", "ResNetFPN_8_2", LOFTR, loftr_backbone, 1, 64, 64),
    case(
        "feature.xfeat",
        "XFeatModel",
        {},
        lambda _model, _settings: no_blocks(
            "chains of convolutions; its forward adds maps of several chains"
        ),
        *(3, 64, 64),
    ),
    case(
        "feature.hardnet",
        "HardNet",
        {"pretrained": False},
        lambda _m, _s: no_blocks("a chain of convolutions"),
        1,
        32,
        32,
    ),
]
