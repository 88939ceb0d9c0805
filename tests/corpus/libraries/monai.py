"""monai: medical networks, many of them on volumes, from the arguments of their constructors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import torch
from monai.networks import nets

from tests.corpus.case import Case, Place, layers, no_blocks, of_class, partly, unstated

# From the built model and the arguments that it was built with.
Places = Callable[[Any, Mapping[str, Any]], Sequence[Place]]
FLAT = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
SOLID = {**FLAT, "spatial_dims": 3}
UNET = {"channels": (8, 16, 32), "strides": (2, 2)}
LEVELS = {"channels": (8, 16, 16), "num_res_blocks": (1, 2, 1), "attention_levels": (False, False, True)}
LEVELS |= {"norm_num_groups": 4}
DIFFUSION = {**FLAT, **LEVELS, "num_head_channels": 8}
PATCHES = {"in_channels": 1, "img_size": (32, 32), "patch_size": (8, 8), "hidden_size": 32, "mlp_dim": 64}
PATCHES |= {"num_layers": 4, "num_heads": 2, "spatial_dims": 2}
DYNAMIC = {
    "kernel_size": [3, 3, 3],
    "strides": [1, 2, 2],
    "upsample_kernel_size": [2, 2],
    "filters": [8, 16, 24],
}


def case(
    name: str,
    settings: Mapping[str, Any],
    places: Places,
    *shape: int,
    title: str = "",
    file: str = "",
    more: Callable[[], dict[str, Any]] | None = None,
) -> Case:
    """A network, with two samples of `shape`, or with what `more` makes beside it as keywords."""

    def build() -> torch.nn.Module:
        model: torch.nn.Module = getattr(
            import_module(f"monai.networks.nets.{file}") if file else nets, name
        )(**settings)
        return model

    def example() -> Any:
        image = torch.randn(2, *shape)
        return image if more is None else {"x": image, **more()}

    return Case(title or name, build, example, lambda model: places(model, settings))


def of(kind: str, *arguments: str) -> Places:
    """Blocks of one class that arguments count."""
    return lambda _, settings: [layers(kind, sum(_total(settings[key]) for key in arguments))]


def _total(value: int | Sequence[int]) -> int:
    return value if isinstance(value, int) else sum(value)


def unet(_: Any, settings: Mapping[str, Any]) -> list[Place]:
    """A residual unit on each level's way down, on its way up, and at the bottom."""
    return [layers("ResidualUnit", 2 * len(settings["channels"]) - 1)]


def autoencoder(_: Any, settings: Mapping[str, Any]) -> list[Place]:
    """A residual unit on each level, both ways."""
    return [layers("ResidualUnit", 2 * len(settings["channels"]))]


def dynunet(_: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Residual blocks on the way down; the way up has plain ones."""
    return [layers("UnetResBlock", len(settings["kernel_size"]))]


def unetr(model: Any, _: Mapping[str, Any]) -> list[Place]:
    """A ViT, whose states become maps through residual convolutions."""
    why = "encoders and decoders are made of UnetResBlock, as many as the code lists"
    return [
        layers("TransformerBlock", model.num_layers),
        unstated("*:UnetResBlock", len(of_class(model, "UnetResBlock")), why),
    ]


def swin_unetr(model: Any, settings: Mapping[str, Any]) -> list[Place]:
    """A Swin transformer, whose states become maps through residual convolutions."""
    why = "encoders and decoders are made of UnetResBlock, as many as the code lists"
    return [
        layers("SwinTransformerBlock", sum(settings["depths"])),
        unstated("*:UnetResBlock", len(of_class(model, "UnetResBlock")), why),
    ]


def vnet(model: Any, _: Mapping[str, Any]) -> list[Place]:
    """Nine transitions that stand in the code."""
    why = "the code lists one input, four down and four up transitions, each with a shortcut"
    return [
        unstated("*:InputTransition", 1, why),
        unstated("*:DownTransition", 4, why),
        unstated("*:UpTransition", 4, why),
    ]


def highresnet(_: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Those layers that repeat are residual blocks."""
    return [layers("HighResBlock", sum(item.get("repeat", 0) for item in settings["layer_params"]))]


def efficientnet(model: Any, _: Mapping[str, Any]) -> list[Place]:
    """Inverted residuals; those that keep size and width have a shortcut."""
    blocks = of_class(model, "MBConvBlock")
    residual = sum(
        b.id_skip and b.stride in (1, [1], [1, 1]) and b.in_channels == b.out_channels for b in blocks
    )
    why = "the code has the numbers; a stage's first block changes size or width and has no shortcut"
    return [unstated("*:MBConvBlock", residual, why)]


def diffusion(model: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Residual blocks, with attentions on some levels: down, middle, and one more a level on the way up."""
    counts, attends = settings["num_res_blocks"], settings["attention_levels"]
    both = sum(counts) + sum(count + 1 for count in counts)
    paired = sum((2 * n + 1) for n, on in zip(counts, attends, strict=True) if on)
    middle = "the middle has two residual blocks and an attention that no argument counts"
    return [
        partly("*:DiffusionUNetResnetBlock", both, both + 2, middle),
        unstated(
            "*:SpatialAttentionBlock",
            paired + 1,
            "one after each residual block of an attention level; " + middle,
        ),
    ]


def encoder(model: Any, settings: Mapping[str, Any]) -> list[Place]:
    """The way down of a diffusion network, and its middle."""
    counts, attends = settings["num_res_blocks"], settings["attention_levels"]
    paired = sum(n for n, on in zip(counts, attends, strict=True) if on)
    middle = "the middle has two residual blocks and an attention that no argument counts"
    return [
        partly("*:DiffusionUNetResnetBlock", sum(counts), sum(counts) + 2, middle),
        unstated(
            "*:SpatialAttentionBlock",
            paired + 1,
            "one after each residual block of an attention level; " + middle,
        ),
    ]


def autoencoder_kl(model: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Residual blocks both ways, with attentions on some levels and in the middle."""
    counts, attends = settings["num_res_blocks"], settings["attention_levels"]
    paired = 2 * sum(n for n, on in zip(counts, attends, strict=True) if on)
    middle = "each way has a middle of two residual blocks and an attention that no argument counts"
    return [
        partly("*:AEKLResBlock", 2 * sum(counts), 2 * sum(counts) + 4, middle),
        unstated(
            "*:SpatialAttentionBlock",
            paired + 2,
            "one after each residual block of an attention level; " + middle,
        ),
    ]


def vqvae(_: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Residual units on each level, both ways."""
    return [layers("VQVAEResidualUnit", 2 * settings["num_res_layers"] * len(settings["channels"]))]


def mednext(model: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Blocks, and between the levels blocks that change the size, all with a shortcut."""
    counts = sum(settings["blocks_down"]) + settings["blocks_bottleneck"] + sum(settings["blocks_up"])
    why = "a block that changes the size stands between the levels, with a projection as its shortcut"
    return [
        layers("MedNeXtBlock", counts),
        unstated("*:MedNeXtDownBlock", len(settings["blocks_down"]), why),
        unstated("*:MedNeXtUpBlock", len(settings["blocks_up"]), why),
    ]


def restormer(model: Any, settings: Mapping[str, Any]) -> list[Place]:
    """A U-net: every level but the lowest on both sides, and a refinement."""
    *around, lowest = settings["num_blocks"]
    return [layers("MDTATransformerBlock", 2 * sum(around) + lowest + settings["num_refinement_blocks"])]


def steps() -> dict[str, Any]:
    """The time of each of two samples."""
    return {"timesteps": torch.tensor([3, 7])}


def conditions() -> dict[str, Any]:
    """The time of each sample, and a picture that steers."""
    return {**steps(), "controlnet_cond": torch.randn(2, 1, 32, 32)}


NONE = "its convolutions are concatenated, or multiplied by a gate, never added to a shortcut"
HIGH = [{"name": "conv_0", "n_features": 8, "kernel_size": 3}]
HIGH += [{"name": "res_1", "n_features": 8, "kernels": (3, 3), "repeat": 2}]
HIGH += [{"name": "res_2", "n_features": 16, "kernels": (3, 3), "repeat": 3}]
HIGH += [{"name": "conv_1", "n_features": 16, "kernel_size": 1}, {"name": "conv_2", "kernel_size": 1}]
RESNET = {"layers": [1, 2, 2, 1], "block_inplanes": [8, 16, 24, 32], "n_input_channels": 1, "num_classes": 3}
BLOCKS = {"blocks_down": (1, 2, 2), "blocks_up": (1, 1)}

CASES = [
    case(
        "ResNet", {**RESNET, "block": "basic", "spatial_dims": 3}, of("ResNetBlock", "layers"), 1, 32, 32, 32
    ),
    case(
        "ResNet",
        {**RESNET, "block": "bottleneck", "spatial_dims": 2},
        of("ResNetBottleneck", "layers"),
        *(1, 64, 64),
        title="ResNet bottleneck",
    ),
    case("UNet", {**SOLID, **UNET, "num_res_units": 2}, unet, 1, 16, 16, 16),
    case("AutoEncoder", {**FLAT, **UNET, "strides": (2, 2, 2), "num_res_units": 2}, autoencoder, 1, 32, 32),
    case("BasicUNet", {**FLAT, "features": (8, 8, 16, 16, 24, 8)}, lambda _m, _s: no_blocks(NONE), 1, 32, 32),
    case("AttentionUnet", {**FLAT, **UNET}, lambda _m, _s: no_blocks(NONE), 1, 32, 32),
    case(
        "DenseNet",
        {**FLAT, "init_features": 8, "growth_rate": 8, "block_config": (2, 2)},
        lambda _m, _s: no_blocks(NONE),
        *(1, 64, 64),
    ),
    case("SegResNet", {**SOLID, **BLOCKS}, of("ResBlock", "blocks_down", "blocks_up"), 1, 16, 16, 16),
    case(
        "SegResNetVAE",
        {**SOLID, **BLOCKS, "input_image_size": (16, 16, 16), "vae_nz": 16},
        of("ResBlock", "blocks_down", "blocks_up"),
        *(1, 16, 16, 16),
    ),
    case(
        "SegResNetDS",
        {**FLAT, **BLOCKS, "init_filters": 8},
        of("SegResBlock", "blocks_down", "blocks_up"),
        *(1, 32, 32),
    ),
    case("DynUNet", {**SOLID, **DYNAMIC, "res_block": True}, dynunet, 1, 16, 16, 16),
    case(
        "UNETR",
        {
            **SOLID,
            "img_size": (32, 32, 32),
            "feature_size": 8,
            "hidden_size": 32,
            "mlp_dim": 64,
            "num_heads": 2,
        },
        unetr,
        *(1, 32, 32, 32),
    ),
    case(
        "SwinUNETR",
        {**FLAT, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 4), "window_size": 4, "feature_size": 12},
        swin_unetr,
        *(1, 64, 64),
    ),
    case("ViT", PATCHES, of("TransformerBlock", "num_layers"), 1, 32, 32),
    case("ViTAutoEnc", {**PATCHES, "patch_size": (4, 4)}, of("TransformerBlock", "num_layers"), 1, 32, 32),
    case("VNet", {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}, vnet, 1, 32, 32),
    case("HighResNet", {**FLAT, "layer_params": HIGH}, highresnet, 1, 32, 32),
    case(
        "SENet",
        {"spatial_dims": 2, "in_channels": 1, "block": "se_resnet_bottleneck", "layers": [1, 2, 1, 1]}
        | {"groups": 1, "reduction": 8, "inplanes": 16, "num_classes": 3},
        of("SEResNetBottleneck", "layers"),
        *(1, 64, 64),
    ),
    case(
        "EfficientNetBN",
        {"model_name": "efficientnet-b0", "pretrained": False, "in_channels": 3, "num_classes": 3},
        efficientnet,
        *(3, 64, 64),
    ),
    case("DiffusionModelUNet", DIFFUSION, diffusion, 1, 32, 32, more=steps),
    case(
        "ControlNet",
        {key: value for key, value in DIFFUSION.items() if key != "out_channels"}
        | {"conditioning_embedding_num_channels": (8,)},
        encoder,
        *(1, 32, 32),
        more=conditions,
    ),
    case("AutoencoderKL", {**FLAT, **LEVELS, "latent_channels": 4}, autoencoder_kl, 1, 32, 32),
    case(
        "VQVAE",
        {**FLAT, "channels": (16, 24), "num_res_layers": 2, "num_res_channels": (16, 24)}
        | {"downsample_parameters": ((2, 4, 1, 1),) * 2, "upsample_parameters": ((2, 4, 1, 1, 0),) * 2},
        vqvae,
        *(1, 32, 32),
    ),
    case(
        "MedNeXt",
        {**SOLID, "init_filters": 8, "blocks_down": (1, 1), "blocks_bottleneck": 2, "blocks_up": (1, 1)}
        | {"kernel_size": 3, "use_residual_connection": True},
        mednext,
        *(1, 16, 16, 16),
    ),
    case(
        "Restormer",
        {**FLAT, "dim": 8, "num_blocks": (1, 1, 2), "heads": (1, 1, 2), "num_refinement_blocks": 2},
        restormer,
        *(1, 32, 32),
        file="restormer",
    ),
    case(
        "DecoderOnlyTransformer",
        {"num_tokens": 20, "max_seq_len": 16, "attn_layers_dim": 32, "attn_layers_depth": 3}
        | {"attn_layers_heads": 2},
        of("TransformerBlock", "attn_layers_depth"),
    ),
]
CASES[-1] = Case(CASES[-1].name, CASES[-1].build, partial(torch.randint, 20, (2, 16)), CASES[-1].places)
