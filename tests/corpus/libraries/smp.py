"""segmentation-models-pytorch: segmentation architectures on many encoders.

The parameters of an encoder stand in the library's own table; they state the layers of each stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import segmentation_models_pytorch as smp
import torch

from tests.corpus.case import Case, Place, no_blocks, of_class, partly, stated, unstated

Places = Callable[[Any], Sequence[Place]]


def case(architecture: str, encoder: str, places: Places, *, size: int = 64, **settings: Any) -> Case:
    """An architecture on an encoder, with two images of `size` pixels."""

    def build() -> torch.nn.Module:
        model: torch.nn.Module = getattr(smp, architecture)(
            encoder, encoder_weights=None, classes=2, **settings
        )
        return model

    return Case(f"{architecture}/{encoder}", build, partial(torch.randn, 2, 3, size, size), places)


def table(encoder: str) -> dict[str, Any]:
    """What the library states of an encoder."""
    parameters: dict[str, Any] = smp.encoders.encoders[encoder]["params"]
    return parameters


def of_layers(encoder: str, *more: Place) -> Places:
    """An encoder whose `layers` count the blocks of its stages."""
    return lambda _: [stated("encoder.layer*", sum(table(encoder)["layers"])), *more]


def of_depths(encoder: str) -> Places:
    """An encoder whose `depths` count the blocks of its stages."""
    return lambda _: [stated("encoder.*:Block", sum(table(encoder)["depths"]))]


def pspnet(_: Any) -> list[Place]:
    """An encoder of depth 3, whose other stages never run."""
    every = table("resnet18")["layers"]
    why = "the encoder's depth is 3: its last stages stay in the model, and never run"
    return [partly("encoder.layer*", sum(every), sum(every[:2]), why)]


def mobilenet(model: Any) -> list[Place]:
    """Inverted residuals; those that keep size and width have a shortcut."""
    blocks = of_class(model, "InvertedResidual")
    why = "the table states no number; torchvision's blocks with use_res_connect have a shortcut"
    return [unstated("*:InvertedResidual", sum(block.use_res_connect for block in blocks), why)]


def efficientnet(model: Any) -> list[Place]:
    """Repeats of the encoder's block arguments; those that keep size and width have a shortcut."""
    blocks = of_class(model, "MBConvBlock")
    why = (
        "the table states no number; the first block of each stage changes size or width and has no shortcut"
    )
    return [unstated("*:MBConvBlock", sum(block._has_drop_connect for block in blocks), why)]


def xception(model: Any) -> list[Place]:
    """Twelve blocks that stand in the code."""
    why = "the table states no number; the code lists 12 blocks, each with a shortcut"
    return [unstated("encoder.block*:Block", len(of_class(model, "Block")), why)]


def mobileone(model: Any) -> list[Place]:
    """Sums of convolutions side by side, and nothing else; each becomes one convolution."""
    stages = [getattr(model.encoder, f"stage{number}") for number in range(1, 5)]
    why = "the code lists 2, 8, 10 and 1 pairs; each sums its convolutions, whose stem stands alone"
    return [unstated("encoder.stage*:MobileOneBlock", sum(map(len, stages)), why)]


def convnext(model: Any) -> list[Place]:
    """A timm encoder, whose depths stand in timm's feature extractor only."""
    stages = [child for name, child in model.encoder.model.named_children() if name.startswith("stages_")]
    why = "the number stands in timm; its stages hold so many ConvNeXtBlock"
    return [unstated("encoder.*:ConvNeXtBlock", sum(len(stage.blocks) for stage in stages), why)]


def dpt(model: Any) -> list[Place]:
    """A timm ViT, and a decoder of residual convolutions."""
    why = "a fusion block has two ResidualConvBlock"
    return [
        stated("encoder.*:Block", len(model.encoder.model.blocks)),
        unstated("decoder.*:ResidualConvBlock", len(of_class(model, "ResidualConvBlock")), why),
    ]


PAB = unstated("decoder.*:PABBlock", 1, "its position attention block adds what it attends to to its input")
NONE = "an encoder without shortcuts, and a decoder that concatenates"

CASES = [
    case("Unet", "resnet18", of_layers("resnet18")),
    case("UnetPlusPlus", "resnet18", of_layers("resnet18")),
    case("FPN", "resnet34", of_layers("resnet34")),
    case("Linknet", "resnet18", of_layers("resnet18")),
    case("MAnet", "resnet18", of_layers("resnet18", PAB)),
    case("PAN", "resnet18", of_layers("resnet18"), size=128),
    case("PSPNet", "resnet18", pspnet),
    case("DeepLabV3", "resnet18", of_layers("resnet18")),
    case("DeepLabV3Plus", "resnet50", of_layers("resnet50")),
    case("UPerNet", "resnet18", of_layers("resnet18")),
    case("Segformer", "mit_b0", of_depths("mit_b0")),
    case("FPN", "mit_b0", of_depths("mit_b0")),
    case("DPT", "tu-vit_tiny_patch16_224", dpt, dynamic_img_size=True),
    case("Unet", "se_resnet50", of_layers("se_resnet50")),
    case("Unet", "resnext50_32x4d", of_layers("resnext50_32x4d")),
    case("Unet", "timm-skresnet18", of_layers("timm-skresnet18")),
    case("Unet", "mobilenet_v2", mobilenet),
    case("Unet", "efficientnet-b0", efficientnet),
    case("Unet", "xception", xception),
    case("Unet", "mobileone_s0", mobileone),
    case("Unet", "tu-convnext_atto", convnext),
    case("Unet", "densenet121", lambda _: no_blocks(NONE)),
    case("Unet", "vgg11", lambda _: no_blocks(NONE)),
]
