"""torchgeo: remote sensing models, from the arguments of their constructors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torchgeo import models

from tests.corpus.case import Case, Place, layers, no_blocks, of_class, partly, stated, unstated

Places = Callable[[Any, Mapping[str, Any]], Sequence[Place]]
PATCHES = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2, "num_classes": 5}
RESNET18 = [2, 2, 2, 2]


def case(
    name: str, settings: Mapping[str, Any], places: Places, example: Callable[[], Any], title: str = ""
) -> Case:
    """A model of torchgeo."""
    kind = getattr(models, name)
    return Case(title or name, lambda: kind(**settings), example, lambda model: places(model, settings))


def images(*shape: int) -> Callable[[], torch.Tensor]:
    """Two samples."""
    return lambda: torch.randn(2, *shape)


def resnet(kind: str = "BasicBlock", prefix: str = "") -> Places:
    """A ResNet-18, whose name states the layers."""
    why = "the encoder's name, resnet18, states its layers: 2, 2, 2, 2"
    return lambda _model, _settings: [unstated(f"{prefix}*:{kind}", sum(RESNET18), why)]


def croma(_: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Stacks that add in their own forward: optical, and half as deep radar and their crossing."""
    depth = settings["encoder_depth"]
    why = "the radar encoder and the cross-attention have half of encoder_depth each"
    return [
        stated("s2_encoder*", depth),
        partly("s1_encoder*", 0, depth // 2, why),
        partly("cross_encoder*", 0, depth // 2, why),
    ]


def dofa(model: Any, settings: Mapping[str, Any]) -> list[Place]:
    """A ViT, whose patch weights come from the wavelengths through a small transformer."""
    return [
        layers("Block", settings["depth"]),
        unstated("*:FCResLayer", 1, "the embedding of the wavelengths is one residual layer"),
        unstated(
            "*:TransformerEncoderLayer",
            len(of_class(model, "TransformerEncoderLayer")),
            "the weights of the patches come from a transformer of one layer",
        ),
    ]


def copernicus(model: Any, settings: Mapping[str, Any]) -> list[Place]:
    """A ViT, whose patch weights come from the wavelengths through a small transformer."""
    why = "the weights of the patches come from a transformer of one layer"
    ran = [
        m
        for n, m in model.named_modules()
        if "spectral" in n and type(m).__name__ == "TransformerEncoderLayer"
    ]
    return [
        layers("Block", settings["depth"]),
        unstated("*:FCResLayer", 1, "the embedding of the wavelengths is one residual layer"),
        unstated("*:TransformerEncoderLayer", len(ran), why),
    ]


def earthloc(model: Any, _: Mapping[str, Any]) -> list[Place]:
    """A ResNet that is cut after its third stage, and a mixer."""
    why = "three stages of a resnet50 are built, whose name states its layers; the code lists the mixers"
    return [
        unstated("backbone.*:Bottleneck", len(of_class(model, "Bottleneck")), why),
        unstated("*:FeatureMixerLayer", len(of_class(model, "FeatureMixerLayer")), why),
    ]


SIAMESE = {
    "encoder_name": "resnet18",
    "encoder_weights": None,
    "encoder_depth": 5,
    "in_channels": 3,
    "classes": 2,
}

CASES = [
    case("FCSiamConc", SIAMESE, resnet(prefix="encoder."), images(2, 3, 64, 64)),
    case("FCSiamDiff", SIAMESE, resnet(prefix="encoder."), images(2, 3, 64, 64)),
    case(
        "FarSeg",
        {"backbone": "resnet18", "classes": 3, "backbone_pretrained": False},
        resnet(prefix="backbone."),
        images(3, 64, 64),
    ),
    case(
        "ChangeStarFarSeg",
        {"backbone": "resnet18", "classes": 2, "backbone_pretrained": False},
        resnet(),
        images(2, 3, 64, 64),
    ),
    case(
        "CROMA",
        {"modalities": ["sar", "optical"], "encoder_dim": 32, "encoder_depth": 4, "num_heads": 16}
        | {"patch_size": 8, "image_size": 32},
        croma,
        lambda: {"x_sar": torch.randn(2, 2, 32, 32), "x_optical": torch.randn(2, 12, 32, 32)},
    ),
    case(
        "DOFA",
        PATCHES,
        dofa,
        lambda: {"x": torch.randn(2, 3, 32, 32), "wavelengths": [0.665, 0.56, 0.49]},
    ),
    case(
        "ScaleMAE",
        {**PATCHES, "res": 1.0},
        lambda _, settings: [layers("Block", settings["depth"])],
        images(3, 32, 32),
    ),
    case(
        "EarthLoc",
        {"in_channels": 3, "image_size": 64, "desc_dim": 64, "backbone": "resnet50", "pretrained": False},
        earthloc,
        images(3, 64, 64),
    ),
    case(
        "FCN",
        {"in_channels": 3, "classes": 2, "num_filters": 16},
        lambda _model, _settings: no_blocks("a chain of convolutions"),
        images(3, 32, 32),
    ),
    case(
        "LTAE",
        {"in_channels": 32, "n_head": 4, "n_neurons": (64, 32), "d_model": 64, "len_max_seq": 8},
        lambda _model, _settings: no_blocks(
            "one attention over time, without a shortcut; only positions are added"
        ),
        images(8, 32),
    ),
    case(
        "ConvLSTM",
        {"input_dim": 3, "hidden_dim": 16, "kernel_size": 3, "num_layers": 2},
        lambda _model, _settings: no_blocks("recurrent cells: their state is gated, not added to a shortcut"),
        images(3, 3, 16, 16),
    ),
]
