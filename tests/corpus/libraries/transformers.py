"""transformers: vision backbones. Their configurations state depths, layers and blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import transformers

from tests.corpus.case import Case, Place, layers, no_blocks, of_class, partly, unstated

Places = Callable[[Any], Sequence[Place]]
SMALL = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
PATCHES = {**SMALL, "image_size": 32, "patch_size": 8}
SWIN = {"image_size": 64, "patch_size": 2, "embed_dim": 16, "depths": [1, 2, 2, 1], "num_heads": [1, 2, 2, 4]}
SWIN |= {"window_size": 4}
PYRAMID = {"depths": [1, 2, 2, 1], "hidden_sizes": [8, 16, 24, 32]}
HEADS = {"num_attention_heads": [1, 2, 2, 2]}
CONVNEXT = {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 2, 3, 1]}
RESNET = {"embedding_size": 16, "hidden_sizes": [16, 32, 48, 64], "depths": [2, 2, 3, 1]}
TEXT = {**SMALL, "vocab_size": 100, "max_position_embeddings": 77, "eos_token_id": 99}


def case(
    name: str,
    settings: Mapping[str, Any],
    places: Places,
    *,
    image: tuple[int, ...] = (32, 32),
    config: str = "",
    example: Callable[[], Any] | None = None,
) -> Case:
    """A model class of transformers.

    Args:
        name: The class.
        settings: Of its configuration.
        places: Of the built model, which holds its configuration.
        image: What follows its batch: height and width, or frames, channels, height and width.
        config: The configuration's class, if it is not named after the model.
        example: Makes its input, if that is not one image.
    """
    # Imported here, so that the models fork from them.
    kind = getattr(transformers, name)
    configuration = getattr(
        transformers, config or name.removesuffix("Model").removesuffix("Backbone") + "Config"
    )

    def build() -> torch.nn.Module:
        model: torch.nn.Module = kind(configuration(**settings))
        return model

    shape = (2, 3, *image) if len(image) == 2 else (2, *image)
    return Case(name, build, example or partial(images, *shape), places)


def images(*shape: int) -> dict[str, torch.Tensor]:
    """Keywords of a forward: one batch of images or videos."""
    return {"pixel_values": torch.randn(*shape)}


def tokens() -> dict[str, torch.Tensor]:
    """Keywords of a forward: two sentences that end with the last word of the vocabulary."""
    ids = torch.randint(1, 99, (2, 77))
    ids[:, -1] = 99
    return {"input_ids": ids}


def by_layers(kind: str) -> Places:
    """A stack of `num_hidden_layers`."""
    return lambda model: [layers(kind, model.config.num_hidden_layers)]


def by_depths(kind: str) -> Places:
    """Stages of `depths`."""
    return lambda model: [layers(kind, sum(model.config.depths))]


def levit(model: Any) -> list[Place]:
    """Pairs of an attention and an MLP, both residual modules; one MLP more after a subsampling."""
    pairs, stages = sum(model.config.depths), len(model.config.depths)
    why = "after each subsampling stands an MLP with a shortcut of its own that depths does not count"
    return [partly("*:LevitResidualLayer", pairs, pairs + stages - 1, why)]


def mobilenet_v2(model: Any) -> list[Place]:
    """Inverted residuals; the stem's first one is a module of its own without a shortcut."""
    residual = sum(block.use_residual for block in of_class(model, "MobileNetV2InvertedResidual"))
    why = "the configuration states no number of blocks; those that keep size and width have a shortcut"
    return [unstated("*:MobileNetV2InvertedResidual", residual, why)]


def mobilevit(prefix: str) -> Places:
    """Inverted residuals, and transformers whose depths stand in the code."""

    def places(model: Any) -> list[Place]:
        blocks = of_class(model, f"{prefix}InvertedResidual")
        stacked = of_class(model, f"{prefix}TransformerLayer")
        why = "the numbers of blocks (1, 3, and transformers of 2, 4, 3) stand in the code"
        return [
            unstated(f"*:{prefix}InvertedResidual", sum(b.use_residual for b in blocks), why),
            unstated(f"*:{prefix}TransformerLayer", len(stacked), why),
        ]

    return places


def efficientnet(model: Any) -> list[Place]:
    """Repeats scaled by a coefficient; those that keep size and width have a shortcut."""
    config = model.config
    repeats = sum(-(-int(100 * config.depth_coefficient * n) // 100) for n in config.num_block_repeats)
    blocks = of_class(model, "EfficientNetBlock")
    why = "the first block of each stage changes size or width and has no shortcut (its id_skip)"
    return [partly("*:EfficientNetBlock", repeats, sum(b.projection.apply_dropout for b in blocks), why)]


def hgnet(model: Any) -> list[Place]:
    """Blocks that concatenate; all but the first of a stage add to their input too."""
    residual = sum(block.residual for block in of_class(model, "HGNetV2BasicLayer"))
    why = "the first block of each stage has residual=False and only concatenates"
    return [partly("*:HGNetV2BasicLayer", sum(model.config.stage_num_blocks), residual, why)]


def textnet(model: Any) -> list[Place]:
    """Sums of convolutions side by side, and nothing else."""
    return [layers("TextNetRepConvLayer", sum(map(len, model.config.conv_layer_kernel_sizes)))]


def swiftformer(model: Any) -> list[Place]:
    """Each stage ends with attention; all its other blocks are convolutions. `depths` counts both."""
    return [
        layers("SwiftFormerConvEncoder", sum(model.config.depths) - len(model.config.depths)),
        layers("SwiftFormerEncoderBlock", len(model.config.depths)),
    ]


def perceiver(model: Any) -> list[Place]:
    """One layer that reads the inputs, and those that read the latents."""
    return [
        layers("PerceiverLayer", model.config.num_self_attends_per_block + 1),
    ]


TEXTNET = {"conv_layer_kernel_sizes": [[[3, 3], [3, 3]], [[3, 3], [1, 3]], [[3, 3], [3, 3]], [[3, 3]]]}
TEXTNET |= {"conv_layer_strides": [[1, 2], [2, 1], [2, 1], [2]], "hidden_sizes": [16, 16, 24, 32, 48]}
PERCEIVER = {"num_latents": 16, "d_latents": 32, "d_model": 32, "num_blocks": 1}
PERCEIVER |= {"num_self_attends_per_block": 3, "num_self_attention_heads": 2, "num_cross_attention_heads": 2}
SAM2 = {"image_size": [64, 64], "hidden_size": 16, "blocks_per_stage": [1, 2, 2, 1]}
SAM2 |= {"embed_dim_per_stage": [16, 32, 48, 64], "num_attention_heads_per_stage": [1, 2, 2, 2]}
SAM2 |= {"window_size_per_stage": [8, 4, 4, 4], "global_attention_blocks": [4]}
SAM2 |= {"window_positional_embedding_background_size": [8, 8]}

CASES = [
    case("ViTModel", PATCHES, by_layers("ViTLayer")),
    case("DeiTModel", PATCHES, by_layers("DeiTLayer")),
    case("BeitModel", PATCHES, by_layers("BeitLayer")),
    case("Data2VecVisionModel", PATCHES, by_layers("Data2VecVisionLayer")),
    case("ViTMAEModel", PATCHES, by_layers("ViTMAELayer")),
    case("ViTMSNModel", PATCHES, by_layers("ViTMSNLayer")),
    case("IJepaModel", PATCHES, by_layers("IJepaLayer")),
    case("Dinov2Model", PATCHES, by_layers("Dinov2Layer")),
    case("Dinov2WithRegistersModel", PATCHES, by_layers("Dinov2WithRegistersLayer")),
    case("DINOv3ViTModel", PATCHES, by_layers("DINOv3ViTLayer")),
    case("MLCDVisionModel", PATCHES, by_layers("MLCDEncoderLayer")),
    case("CLIPVisionModel", PATCHES, by_layers("CLIPEncoderLayer")),
    case("CLIPTextModel", TEXT, by_layers("CLIPEncoderLayer"), example=tokens),
    case("SiglipVisionModel", PATCHES, by_layers("SiglipEncoderLayer")),
    case("Aimv2VisionModel", PATCHES, by_layers("Aimv2EncoderLayer")),
    case("OwlViTVisionModel", PATCHES, by_layers("OwlViTEncoderLayer")),
    case(
        "VitDetModel",
        {**SMALL, "image_size": 64, "patch_size": 8, "window_size": 4, "window_block_indices": [0, 1]},
        by_layers("VitDetLayer"),
        image=(64, 64),
    ),
    case(
        "SamVisionModel",
        {**PATCHES, "image_size": 64, "mlp_dim": 64, "output_channels": 16, "window_size": 4}
        | {"global_attn_indexes": [2], "num_pos_feats": 8},
        by_layers("SamVisionLayer"),
        image=(64, 64),
    ),
    case(
        "Sam2HieraDetModel",
        SAM2,
        lambda model: [layers("Sam2MultiScaleBlock", sum(model.config.blocks_per_stage))],
        image=(64, 64),
    ),
    case("SwinModel", SWIN, by_depths("SwinLayer"), image=(64, 64)),
    case("Swinv2Model", SWIN, by_depths("Swinv2Layer"), image=(64, 64)),
    case("MaskFormerSwinModel", SWIN, by_depths("MaskFormerSwinLayer"), image=(64, 64)),
    case(
        "Swin2SRModel",
        {"image_size": 32, "patch_size": 1, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2]}
        | {"window_size": 4},
        by_depths("Swin2SRLayer"),
    ),
    case(
        "HieraModel",
        {**SWIN, "image_size": [64, 64], "patch_size": [7, 7]},
        by_depths("HieraLayer"),
        image=(64, 64),
    ),
    case("ConvNextModel", CONVNEXT, by_depths("ConvNextLayer"), image=(64, 64)),
    case("ConvNextV2Model", CONVNEXT, by_depths("ConvNextV2Layer"), image=(64, 64)),
    case("DINOv3ConvNextModel", CONVNEXT, by_depths("DINOv3ConvNextLayer"), image=(64, 64)),
    case("ResNetModel", RESNET, by_depths("ResNetBottleNeckLayer"), image=(64, 64)),
    case("RegNetModel", {**RESNET, "groups_width": 8}, by_depths("RegNetYLayer"), image=(64, 64)),
    case(
        "BitModel",
        {"embedding_size": 32, "hidden_sizes": [32, 64, 96, 128], "depths": [1, 2, 2, 1], "num_groups": 8},
        by_depths("BitPreActivationBottleneckLayer"),
        image=(64, 64),
    ),
    case(
        "MobileNetV1Model",
        {"depth_multiplier": 0.5},
        lambda _: no_blocks("a chain of convolutions without a shortcut"),
        image=(64, 64),
    ),
    case("MobileNetV2Model", {"depth_multiplier": 0.5}, mobilenet_v2, image=(64, 64)),
    case(
        "MobileViTModel",
        {"image_size": 64, "hidden_sizes": [24, 32, 48], "num_attention_heads": 2}
        | {"neck_hidden_sizes": [8, 16, 16, 24, 24, 32, 48]},
        mobilevit("MobileViT"),
        image=(64, 64),
    ),
    case(
        "MobileViTV2Model",
        {"image_size": 64, "width_multiplier": 0.5},
        mobilevit("MobileViTV2"),
        image=(64, 64),
    ),
    case(
        "EfficientNetModel",
        {"width_coefficient": 0.5, "depth_coefficient": 1.0, "hidden_dim": 640},
        efficientnet,
        image=(64, 64),
    ),
    case(
        "PPLCNetBackbone",
        {"scale": 0.5},
        lambda _: no_blocks(
            "depthwise separable convolutions; what it calls a residual is multiplied by a gate"
        ),
        image=(64, 64),
    ),
    case("HGNetV2Backbone", {}, hgnet, image=(64, 64)),
    case("TextNetModel", {**TEXTNET, "stem_out_channels": 16}, textnet, image=(64, 64)),
    case("PvtModel", {**PYRAMID, **HEADS, "image_size": 64}, by_depths("PvtLayer"), image=(64, 64)),
    case("PvtV2Model", {**PYRAMID, **HEADS, "image_size": 64}, by_depths("PvtV2BlockLayer"), image=(64, 64)),
    case("SegformerModel", {**PYRAMID, **HEADS}, by_depths("SegformerLayer"), image=(64, 64)),
    case("GLPNModel", {**PYRAMID, **HEADS}, by_depths("GLPNLayer"), image=(64, 64)),
    case("PoolFormerModel", PYRAMID, by_depths("PoolFormerLayer"), image=(64, 64)),
    case(
        "SwiftFormerModel",
        {"depths": [1, 2, 2, 1], "embed_dims": [16, 24, 32, 48]},
        swiftformer,
        image=(64, 64),
    ),
    case(
        "FocalNetModel",
        {"image_size": 64, "embed_dim": 16, "depths": [1, 2, 2, 1]},
        by_depths("FocalNetLayer"),
        image=(64, 64),
    ),
    case(
        "LevitModel",
        {
            "image_size": 64,
            "hidden_sizes": [32, 48, 64],
            "num_attention_heads": [2, 2, 2],
            "depths": [2, 2, 2],
        }
        | {"key_dim": [8, 8, 8]},
        levit,
        image=(64, 64),
    ),
    case(
        "CvtModel",
        {"embed_dim": [16, 32, 48], "depth": [1, 2, 3], "num_heads": [1, 2, 3]},
        lambda model: [layers("CvtLayer", sum(model.config.depth))],
        image=(64, 64),
    ),
    case(
        "PerceiverModel",
        PERCEIVER,
        perceiver,
        example=lambda: {"inputs": torch.randn(2, 20, 32)},
    ),
    case(
        "ImageGPTModel",
        {"vocab_size": 65, "n_positions": 64, "n_embd": 32, "n_layer": 4, "n_head": 2},
        lambda model: [layers("ImageGPTBlock", model.config.n_layer)],
        example=lambda: {"input_ids": torch.randint(0, 64, (2, 32))},
    ),
    case("VideoMAEModel", {**PATCHES, "num_frames": 4}, by_layers("VideoMAELayer"), image=(4, 3, 32, 32)),
    case(
        "TimesformerModel", {**PATCHES, "num_frames": 4}, by_layers("TimesformerLayer"), image=(4, 3, 32, 32)
    ),
    case(
        "VivitModel",
        {**PATCHES, "num_frames": 4, "tubelet_size": [2, 8, 8]},
        by_layers("VivitLayer"),
        image=(4, 3, 32, 32),
    ),
]
