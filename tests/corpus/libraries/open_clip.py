"""open_clip: pairs of an image tower and a text tower, from the library's own configurations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import open_clip
import torch
from open_clip import coca_model

from tests.corpus.case import Case, Place, layers, partly, stated, unstated

VISION = {"layers": 3, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}
TEXT = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 4}
Settings = Mapping[str, Any]


def case(
    title: str,
    kind: Callable[..., torch.nn.Module],
    settings: Settings,
    places: Callable[[Settings], Sequence[Place]],
) -> Case:
    """A model with two images and two sentences."""

    def example() -> dict[str, Any]:
        size = settings["vision_cfg"]["image_size"]
        words = torch.randint(1, 99, (2, settings["text_cfg"]["context_length"]))
        words[:, -1] = 99
        return {"image": torch.randn(2, 3, size, size), "text": words}

    return Case(title, lambda: kind(embed_dim=32, **settings), example, lambda _: places(settings))


def towers(settings: Settings) -> list[Place]:
    """Layers of both towers."""
    return [
        stated("visual.*:ResidualAttentionBlock", settings["vision_cfg"]["layers"]),
        stated("*:ResidualAttentionBlock", settings["text_cfg"]["layers"]),
    ]


def custom(settings: Settings) -> list[Place]:
    """Layers of both towers, of blocks with additional norms."""
    return [
        stated("visual.*:CustomResidualAttentionBlock", settings["vision_cfg"]["layers"]),
        stated("*:CustomResidualAttentionBlock", settings["text_cfg"]["layers"]),
    ]


def resnet(settings: Settings) -> list[Place]:
    """A ResNet as image tower."""
    return [
        layers("Bottleneck", sum(settings["vision_cfg"]["layers"])),
        stated("*:ResidualAttentionBlock", settings["text_cfg"]["layers"]),
    ]


def timm(settings: Settings) -> list[Place]:
    """An image tower that timm builds."""
    return [
        unstated(
            "visual.*:ConvNeXtBlock", 2 + 2 + 6 + 2, "timm states the depths of its convnext_atto: 2, 2, 6, 2"
        ),
        stated("*:ResidualAttentionBlock", settings["text_cfg"]["layers"]),
    ]


def coca(settings: Settings) -> list[Place]:
    """Both towers, and a decoder whose layers are pairs of a self- and a cross-attention."""
    count = settings["multimodal_cfg"]["layers"]
    why = "each layer of the decoder is two blocks: a self-attention, then a cross-attention"
    return [
        stated("visual.*:ResidualAttentionBlock", settings["vision_cfg"]["layers"]),
        partly("text_decoder.*:ResidualAttentionBlock", count, 2 * count, why),
        stated("text.*:ResidualAttentionBlock", settings["text_cfg"]["layers"]),
    ]


CLIP, CUSTOM = open_clip.model.CLIP, open_clip.model.CustomTextCLIP
NORMS = {"scale_heads": True, "scale_attn": True, "scale_fc": True}
COCA_VISION = {
    **VISION,
    "attentional_pool": True,
    "attn_pooler_queries": 8,
    "attn_pooler_heads": 2,
    "output_tokens": True,
}
COCA_TEXT = {**TEXT, "embed_cls": True, "output_tokens": True, "context_length": 16}
DECODER = {
    "context_length": 16,
    "vocab_size": 100,
    "width": 32,
    "heads": 2,
    "layers": 2,
    "attn_pooler_heads": 2,
}

CASES = [
    case("CLIP ViT", CLIP, {"vision_cfg": VISION, "text_cfg": TEXT}, towers),
    case("CustomTextCLIP ViT", CUSTOM, {"vision_cfg": VISION, "text_cfg": TEXT}, towers),
    case(
        "CLIP ViT with more norms",
        CLIP,
        {"vision_cfg": {**VISION, **NORMS}, "text_cfg": {**TEXT, **NORMS}},
        custom,
    ),
    case(
        "CLIP ResNet",
        CLIP,
        {
            "vision_cfg": {"layers": (1, 2, 2, 1), "width": 16, "head_width": 16, "image_size": 64},
            "text_cfg": TEXT,
        },
        resnet,
    ),
    case(
        "CustomTextCLIP timm",
        CUSTOM,
        {
            "vision_cfg": {"timm_model_name": "convnext_atto", "timm_pool": "", "image_size": 64},
            "text_cfg": TEXT,
        },
        timm,
    ),
    case(
        "CoCa",
        coca_model.CoCa,
        {"vision_cfg": COCA_VISION, "text_cfg": COCA_TEXT, "multimodal_cfg": DECODER},
        coca,
    ),
]
