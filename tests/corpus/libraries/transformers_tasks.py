"""transformers: detectors, segmenters, depth and pairs of towers, around the backbones of `transformers`."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from tests.corpus.case import Place, layers, no_blocks, of_class, partly, stated, unstated
from tests.corpus.libraries.transformers import CONVNEXT, PATCHES, PYRAMID, SMALL, SWIN, TEXT, case, images

STAGES = {
    "embedding_size": 16,
    "hidden_sizes": [16, 32, 48, 64],
    "depths": [1, 2, 1, 1],
    "layer_type": "basic",
}
OUT = ["stage1", "stage2", "stage3", "stage4"]
RESNET = transformers.ResNetConfig(**STAGES, out_features=OUT[3:])
RESNET3 = transformers.ResNetConfig(**STAGES, out_features=OUT[1:])
RTDETR_RESNET = transformers.RTDetrResNetConfig(**STAGES, out_features=OUT[1:])
SWIN4 = transformers.SwinConfig(**SWIN, out_features=OUT)
DINO = transformers.Dinov2Config(**PATCHES, out_features=OUT, reshape_hidden_states=False)
BEIT = transformers.BeitConfig(**PATCHES, out_features=OUT, reshape_hidden_states=False)
CONVNEXT4 = transformers.ConvNextConfig(**CONVNEXT, out_features=OUT)
DECODER = {"d_model": 32, "decoder_layers": 3, "decoder_ffn_dim": 64, "decoder_attention_heads": 2}
DETR = {
    **DECODER,
    "encoder_layers": 2,
    "encoder_ffn_dim": 64,
    "encoder_attention_heads": 2,
    "num_queries": 10,
}
RTDETR = {**DECODER, "encoder_hidden_dim": 32, "encoder_ffn_dim": 64, "encoder_attention_heads": 2}
RTDETR |= {"decoder_in_channels": [32, 32, 32], "num_queries": 10}
NECK = {"neck_hidden_sizes": [16, 16, 32, 32], "fusion_hidden_size": 16}
VIDEO = {"patch_size": 8, "crop_size": 32, "frames_per_clip": 4, "hidden_size": 32, "num_attention_heads": 2}
PREDICTOR = {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 2}


def detr(prefix: str) -> Any:
    """A ResNet, an encoder and a decoder."""
    return lambda model: [
        layers("ResNetBasicLayer", sum(model.config.backbone_config.depths)),
        layers(f"{prefix}EncoderLayer", model.config.encoder_layers),
        layers(f"{prefix}DecoderLayer", model.config.decoder_layers),
    ]


def _merged(model: Any, kind: str) -> Place:
    why = "a merge adds its re-parameterisable convolutions to a 1x1 convolution of the same input"
    return unstated(f"*:{kind}", len(of_class(model, kind)), why)


def rtdetr(prefix: str) -> Any:
    """A ResNet, one layer of attention, merges, and a decoder."""
    return lambda model: [
        layers("RTDetrResNetBasicLayer", sum(model.config.backbone_config.depths)),
        layers(f"{prefix}EncoderLayer", model.config.encoder_layers),
        _merged(model, f"{prefix}CSPRepLayer"),
        layers(f"{prefix}DecoderLayer", model.config.decoder_layers),
    ]


def dfine(model: Any) -> list[Place]:
    """An HGNetV2, one layer of attention, merges, and a decoder."""
    backbone = of_class(model, "HGNetV2BasicLayer")
    why = "the first block of each stage has residual=False and only concatenates"
    counted = sum(model.config.backbone_config.stage_num_blocks)
    return [
        partly("*:HGNetV2BasicLayer", counted, sum(block.residual for block in backbone), why),
        layers("DFineEncoderLayer", model.config.encoder_layers),
        _merged(model, "DFineCSPRepLayer"),
        layers("DFineDecoderLayer", model.config.decoder_layers),
    ]


def maskformer(model: Any) -> list[Place]:
    """A Swin transformer, top-down sums, and a decoder."""
    config = model.config
    return [
        layers("MaskFormerSwinLayer", sum(config.backbone_config.depths)),
        layers("MaskFormerDetrDecoderLayer", config.decoder_config.decoder_layers),
    ]


def mask2former(model: Any) -> list[Place]:
    """A Swin transformer, an encoder of pixels, and a decoder that is one layer short."""
    config = model.config
    why = "the decoder builds one layer fewer: the first masks come from the queries themselves"
    return [
        layers("SwinLayer", sum(config.backbone_config.depths)),
        layers("Mask2FormerPixelDecoderEncoderLayer", config.encoder_layers),
        partly(
            "*:Mask2FormerMaskedAttentionDecoderLayer", config.decoder_layers, config.decoder_layers - 1, why
        ),
    ]


def fused(stack: Place, model: Any, kind: str) -> list[Place]:
    """A stack, and a neck whose fusions have two residual layers; the first fusion runs one of them."""
    why = "each fusion has two residual layers; the first fusion has no input for one of them"
    return [stack, unstated(f"neck.*:{kind}", len(of_class(model, kind)) - 1, why)]


def dpt(model: Any) -> list[Place]:
    """A ViT and a neck."""
    return fused(layers("DPTViTLayer", model.config.num_hidden_layers), model, "DPTPreActResidualLayer")


def depth_anything(model: Any) -> list[Place]:
    """A DINOv2 and a neck."""
    stack = layers("Dinov2Layer", model.config.backbone_config.num_hidden_layers)
    return fused(stack, model, "DepthAnythingPreActResidualLayer")


def zoedepth(model: Any) -> list[Place]:
    """A BEiT and a neck; the heads move bin centres, which is not a block."""
    stack = layers("BeitLayer", model.config.backbone_config.num_hidden_layers)
    return fused(stack, model, "ZoeDepthPreActResidualLayer")


def groupvit(model: Any) -> list[Place]:
    """Layers, and between the stages an assignment of tokens to groups."""
    assigned = len(of_class(model, "GroupViTTokenAssign"))
    why = (
        "between the stages groups attend to tokens, and the groups that come out pass an MLP with a shortcut"
    )
    return [
        layers("GroupViTEncoderLayer", sum(model.config.depths)),
        unstated("*:GroupViTTokenAssign", assigned, why),
    ]


def prompted() -> dict[str, torch.Tensor]:
    """Two images, each with one point on what to segment."""
    return {"pixel_values": torch.randn(2, 3, 64, 64), "input_points": torch.full((2, 1, 1, 2), 20.0)}


def sentences() -> dict[str, torch.Tensor]:
    """Two images with two sentences."""
    words = torch.randint(1, 99, (2, 16))
    words[:, -1] = 99
    return {"pixel_values": torch.randn(2, 3, 32, 32), "input_ids": words}


SAM_VISION = {**PATCHES, "image_size": 64, "mlp_dim": 64, "output_channels": 16, "window_size": 4}
SAM_VISION |= {"global_attn_indexes": [2], "num_pos_feats": 8}
SAM_PROMPT = {
    "hidden_size": 16,
    "image_size": 64,
    "patch_size": 8,
    "image_embedding_size": 8,
    "mask_input_channels": 4,
}
SAM_DECODER = {"hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SAM_DECODER |= {"iou_head_hidden_dim": 16}
M2F = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 64}
M2F |= {
    "dim_feedforward": 64,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "num_attention_heads": 2,
    "num_queries": 10,
}
ZOE = {**NECK, "bottleneck_features": 16, "num_relative_features": 16, "backbone_hidden_size": 32}
ZOE |= {"bin_embedding_dim": 16, "num_attractors": [8, 4, 2, 1]}
ZOE |= {"bin_configurations": [{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0}]}
VITMATTE = transformers.VitDetConfig(
    **SMALL, num_channels=4, image_size=64, patch_size=16, window_size=0, out_features=OUT[3:]
)
VITPOSE = transformers.VitPoseBackboneConfig(
    **SMALL, image_size=[64, 48], patch_size=[16, 16], out_features=OUT[3:]
)

CASES = [
    case(
        "DetrForObjectDetection",
        {**DETR, "backbone_config": RESNET},
        detr("Detr"),
        image=(64, 64),
        config="DetrConfig",
    ),
    case(
        "ConditionalDetrForObjectDetection",
        {**DETR, "backbone_config": RESNET},
        detr("ConditionalDetr"),
        image=(64, 64),
        config="ConditionalDetrConfig",
    ),
    case(
        "DabDetrForObjectDetection",
        {**DETR, "hidden_size": 32, "backbone_config": RESNET},
        detr("DabDetr"),
        image=(64, 64),
        config="DabDetrConfig",
    ),
    case(
        "DeformableDetrForObjectDetection",
        {**DETR, "backbone_config": RESNET3},
        detr("DeformableDetr"),
        image=(64, 64),
        config="DeformableDetrConfig",
    ),
    case(
        "RTDetrForObjectDetection",
        {**RTDETR, "backbone_config": RTDETR_RESNET, "encoder_in_channels": [32, 48, 64]},
        rtdetr("RTDetr"),
        image=(64, 64),
        config="RTDetrConfig",
    ),
    case(
        "RTDetrV2ForObjectDetection",
        {**RTDETR, "backbone_config": RTDETR_RESNET, "encoder_in_channels": [32, 48, 64]},
        rtdetr("RTDetrV2"),
        image=(64, 64),
        config="RTDetrV2Config",
    ),
    case(
        "DFineForObjectDetection",
        {**RTDETR, "encoder_in_channels": [512, 1024, 2048], "hidden_expansion": 0.5},
        dfine,
        image=(64, 64),
        config="DFineConfig",
    ),
    case(
        "MaskFormerForInstanceSegmentation",
        {"backbone_config": SWIN4, "fpn_feature_size": 32, "mask_feature_size": 32}
        | {"decoder_config": {"model_type": "detr", **DETR}},
        maskformer,
        image=(64, 64),
        config="MaskFormerConfig",
    ),
    case(
        "Mask2FormerForUniversalSegmentation",
        {**M2F, "backbone_config": SWIN4},
        mask2former,
        image=(64, 64),
        config="Mask2FormerConfig",
    ),
    case(
        "UperNetForSemanticSegmentation",
        {
            "backbone_config": CONVNEXT4,
            "hidden_size": 32,
            "auxiliary_in_channels": 32,
            "auxiliary_channels": 32,
        },
        lambda model: [layers("ConvNextLayer", sum(model.config.backbone_config.depths))],
        image=(64, 64),
        config="UperNetConfig",
    ),
    case(
        "SegformerForSemanticSegmentation",
        {**PYRAMID, "num_attention_heads": [1, 2, 2, 2], "decoder_hidden_size": 16},
        lambda model: [layers("SegformerLayer", sum(model.config.depths))],
        image=(64, 64),
        config="SegformerConfig",
    ),
    case(
        "BeitForSemanticSegmentation",
        {**PATCHES, "image_size": 64, "out_indices": [0, 1, 2, 3]},
        lambda model: [layers("BeitLayer", model.config.num_hidden_layers)],
        image=(64, 64),
        config="BeitConfig",
    ),
    case(
        "EomtForUniversalSegmentation",
        {**PATCHES, "num_blocks": 2, "num_queries": 10, "num_upscale_blocks": 1},
        lambda model: [layers("EomtLayer", model.config.num_hidden_layers)],
        config="EomtConfig",
    ),
    case(
        "SamModel",
        {
            "vision_config": SAM_VISION,
            "prompt_encoder_config": SAM_PROMPT,
            "mask_decoder_config": SAM_DECODER,
        },
        lambda model: [
            layers("SamVisionLayer", model.config.vision_config.num_hidden_layers),
            layers("SamTwoWayAttentionBlock", model.config.mask_decoder_config.num_hidden_layers),
        ],
        example=prompted,
    ),
    case(
        "DPTForDepthEstimation",
        {**PATCHES, **NECK, "image_size": 64, "backbone_out_indices": [0, 1, 2, 3]},
        dpt,
        image=(64, 64),
        config="DPTConfig",
    ),
    case(
        "DepthAnythingForDepthEstimation",
        {
            **NECK,
            "backbone_config": DINO,
            "reassemble_hidden_size": 32,
            "patch_size": 8,
            "head_hidden_size": 8,
        },
        depth_anything,
        config="DepthAnythingConfig",
    ),
    case("ZoeDepthForDepthEstimation", {**ZOE, "backbone_config": BEIT}, zoedepth, config="ZoeDepthConfig"),
    case(
        "VitMatteForImageMatting",
        {"backbone_config": VITMATTE, "hidden_size": 32, "fusion_hidden_sizes": [32, 24, 16, 8]}
        | {"convstream_hidden_sizes": [8, 16, 24]},
        lambda model: [layers("VitDetLayer", model.config.backbone_config.num_hidden_layers)],
        config="VitMatteConfig",
        example=lambda: images(2, 4, 64, 64),
    ),
    case(
        "VitPoseForPoseEstimation",
        {"backbone_config": VITPOSE, "num_labels": 17},
        lambda model: [layers("VitPoseBackboneLayer", model.config.backbone_config.num_hidden_layers)],
        image=(64, 48),
        config="VitPoseConfig",
    ),
    case(
        "Swin2SRForImageSuperResolution",
        {"image_size": 32, "patch_size": 1, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2]}
        | {"window_size": 4, "upscale": 2},
        lambda model: [layers("Swin2SRLayer", sum(model.config.depths))],
        config="Swin2SRConfig",
    ),
    case(
        "GroupViTVisionModel",
        {**PATCHES, "depths": [2, 1, 1], "num_group_tokens": [8, 4, 0], "num_output_groups": [8, 4, 0]},
        groupvit,
    ),
    case(
        "CLIPModel",
        {
            "text_config": {**TEXT, "num_hidden_layers": 3, "max_position_embeddings": 16},
            "vision_config": PATCHES,
        }
        | {"projection_dim": 16},
        lambda model: [
            stated("text_model.*:CLIPEncoderLayer", model.config.text_config.num_hidden_layers),
            stated("vision_model.*:CLIPEncoderLayer", model.config.vision_config.num_hidden_layers),
        ],
        example=sentences,
    ),
    case(
        "VJEPA2Model",
        {**VIDEO, **PREDICTOR, "num_hidden_layers": 4, "mlp_ratio": 2, "pred_num_mask_tokens": 2},
        lambda model: [
            layers("VJEPA2Layer", model.config.num_hidden_layers + model.config.pred_num_hidden_layers)
        ],
        example=lambda: {"pixel_values_videos": torch.randn(2, 4, 3, 32, 32)},
    ),
    case(
        "SuperPointForKeypointDetection",
        {"encoder_hidden_sizes": [16, 16, 32, 32], "decoder_hidden_size": 32, "descriptor_decoder_dim": 32},
        lambda _: no_blocks("chains of convolutions"),
        image=(64, 64),
        config="SuperPointConfig",
    ),
]
