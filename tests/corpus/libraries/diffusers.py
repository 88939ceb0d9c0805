"""diffusers: networks of diffusion models, from their own configurations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import diffusers
import torch

from tests.corpus.case import Case, Place, layers, of_class, partly, unstated

Places = Callable[[Any], Sequence[Place]]
Example = Callable[[], dict[str, Any]]
UNET = {"sample_size": 16, "block_out_channels": (16, 32), "layers_per_block": 2, "norm_num_groups": 8}
ATTENTION = {
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
ATTENTION |= {"attention_head_dim": 8}
CROSS = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "cross_attention_dim": 16}
CROSS |= {"attention_head_dim": 2}
CROSS_UP = {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
CODER = {"block_out_channels": (16, 32), "layers_per_block": 2, "norm_num_groups": 8, "latent_channels": 4}
CODER |= {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
TOKENS = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 3,
    "sample_size": 16,
    "patch_size": 2,
}
JOINT = {"joint_attention_dim": 16, "pooled_projection_dim": 16}


def case(name: str, settings: Mapping[str, Any], places: Places, example: Example, title: str = "") -> Case:
    """A model class of diffusers, imported here so that the models fork from it."""
    kind = getattr(diffusers, name)

    def build() -> torch.nn.Module:
        model: torch.nn.Module = kind(**settings)
        return model

    return Case(title or name, build, example, places)


def latents(**more: Callable[[], torch.Tensor]) -> Example:
    """Keywords of a forward: two noisy latents with their times, and more."""
    return lambda: {
        "sample": torch.randn(2, 4, 16, 16),
        "timestep": torch.tensor([3, 7]),
        **{key: make() for key, make in more.items()},
    }


def text() -> torch.Tensor:
    """Two sentences of five tokens."""
    return torch.randn(2, 5, 16)


def hidden(**more: Callable[[], Any]) -> Example:
    """Keywords of a transformer's forward: two latents with their times, and more."""
    return lambda: {
        "hidden_states": torch.randn(2, 4, 16, 16),
        "timestep": torch.tensor([3, 7]),
        **{key: make() for key, make in more.items()},
    }


def picture() -> dict[str, Any]:
    """Keywords of an autoencoder's forward."""
    return {"sample": torch.randn(2, 3, 32, 32)}


def by_layers(kind: str) -> Places:
    """A stack of `num_layers`."""
    return lambda model: [layers(kind, model.config.num_layers)]


def _resnets(model: Any, *, up: bool = True) -> Place:
    """A residual block for each layer down, one more for each block up, and two in the middle."""
    each, levels = model.config.layers_per_block, len(model.config.block_out_channels)
    counted = each * levels + (each + 1) * levels * up
    why = "the middle has two residual blocks, and each block up one more than layers_per_block says"
    return partly("*:ResnetBlock2D", each * levels * (1 + up), counted + 2, why)


def _attending(model: Any, *, up: bool = True) -> int:
    """How many layers have an attention, that of the middle apart."""
    each = model.config.layers_per_block
    down = sum("Attn" in kind for kind in model.config.down_block_types)
    return (
        each * down + (each + 1) * sum("Attn" in kind for kind in model.config.up_block_types)
        if up
        else each * down
    )


def unet(model: Any) -> list[Place]:
    """Attentions that add to their own input, in their processor's forward."""
    why = "one after each residual block of an Attn block, and one in the middle"
    return [_resnets(model), unstated("*:Attention", _attending(model) + 1, why)]


def conditioned(model: Any) -> list[Place]:
    """Transformers after the residual blocks: each adds to its own input, and so does each layer in it."""
    return _with_transformers(model, up=True)


def controlnet(model: Any) -> list[Place]:
    """The way down of a conditioned network, and its middle."""
    return _with_transformers(model, up=False)


def _with_transformers(model: Any, *, up: bool) -> list[Place]:
    each = model.config.transformer_layers_per_block
    count = _attending(model, up=up) + 1
    if each == 1:
        why = "one after each residual block of a CrossAttn block, and one in the middle"
        return [_resnets(model, up=up), unstated("*:Transformer2DModel", count, why)]
    why = "so many layers in each transformer; one stands after each residual block of a CrossAttn block"
    return [_resnets(model, up=up), unstated("*:BasicTransformerBlock", count * each, why)]


def autoencoder(model: Any) -> list[Place]:
    """An encoder and a decoder, each with a middle."""
    each, levels = model.config.layers_per_block, len(model.config.block_out_channels)
    why = "each middle has two residual blocks, and each decoder block one more than layers_per_block"
    return [
        partly("*:ResnetBlock2D", 2 * each * levels, (2 * each + 1) * levels + 4, why),
        unstated("*:Attention", 2, "one in each middle"),
    ]


def tiny(model: Any) -> list[Place]:
    """Blocks of an encoder and of a decoder."""
    config = model.config
    return [layers("AutoencoderTinyBlock", sum(config.num_encoder_blocks) + sum(config.num_decoder_blocks))]


def flux(model: Any) -> list[Place]:
    """Blocks of two streams, then of one."""
    return [
        layers("FluxTransformerBlock", model.config.num_layers),
        layers("FluxSingleTransformerBlock", model.config.num_single_layers),
    ]


def aura(model: Any) -> list[Place]:
    """Blocks of two streams, then of one."""
    return [
        layers("AuraFlowJointTransformerBlock", model.config.num_mmdit_layers),
        layers("AuraFlowSingleTransformerBlock", model.config.num_single_dit_layers),
    ]


def cascade(model: Any) -> list[Place]:
    """In each layer a residual block and an attention, with a modulation between them."""
    config = model.config
    count = sum(config.down_num_layers_per_block) + sum(config.up_num_layers_per_block)
    mapped = len(of_class(model, "SDCascadeAttnBlock"))
    return [
        layers("SDCascadeResBlock", count),
        unstated("*:SDCascadeAttnBlock", mapped, "each layer has an attention beside its residual block"),
    ]


def flux_inputs() -> dict[str, Any]:
    """Packed latents, with the position of each token."""
    return {
        "hidden_states": torch.randn(2, 16, 4),
        "encoder_hidden_states": text(),
        "pooled_projections": torch.randn(2, 16),
        "timestep": torch.tensor([0.3, 0.7]),
        "img_ids": torch.zeros(16, 3),
        "txt_ids": torch.zeros(5, 3),
    }


def cascade_inputs() -> dict[str, Any]:
    """Latents, with the text that steers them."""
    return {
        "sample": torch.randn(2, 4, 16, 16),
        "timestep_ratio": torch.tensor([0.3, 0.7]),
        "clip_text_pooled": torch.randn(2, 1, 16),
        "clip_text": torch.randn(2, 5, 16),
        "clip_img": torch.randn(2, 1, 16),
    }


CASES = [
    case("UNet2DModel", {**UNET, **ATTENTION, "in_channels": 4, "out_channels": 4}, unet, latents()),
    case(
        "UNet2DConditionModel",
        {**UNET, **CROSS, **CROSS_UP},
        conditioned,
        latents(encoder_hidden_states=text),
    ),
    case(
        "UNet2DConditionModel",
        {**UNET, **CROSS, **CROSS_UP, "transformer_layers_per_block": 2},
        conditioned,
        latents(encoder_hidden_states=text),
        title="UNet2DConditionModel, two layers a transformer",
    ),
    case(
        "ControlNetModel",
        {key: value for key, value in {**UNET, **CROSS}.items() if key != "sample_size"}
        | {"conditioning_embedding_out_channels": (8, 16)},
        controlnet,
        latents(encoder_hidden_states=text, controlnet_cond=lambda: torch.rand(2, 3, 32, 32)),
    ),
    case("AutoencoderKL", CODER, autoencoder, picture),
    case("VQModel", CODER, autoencoder, picture),
    case(
        "AutoencoderTiny",
        {"encoder_block_out_channels": (16, 16), "decoder_block_out_channels": (16, 16)}
        | {"num_encoder_blocks": (1, 2), "num_decoder_blocks": (2, 1)},
        tiny,
        picture,
    ),
    case(
        "DiTTransformer2DModel",
        {**TOKENS, "in_channels": 4, "num_embeds_ada_norm": 10},
        by_layers("BasicTransformerBlock"),
        hidden(class_labels=lambda: torch.tensor([1, 2])),
    ),
    case(
        "PixArtTransformer2DModel",
        {**TOKENS, "in_channels": 4, "cross_attention_dim": 32, "caption_channels": 16},
        by_layers("BasicTransformerBlock"),
        hidden(
            encoder_hidden_states=text, added_cond_kwargs=lambda: {"resolution": None, "aspect_ratio": None}
        ),
    ),
    case(
        "SD3Transformer2DModel",
        {**TOKENS, **JOINT, "in_channels": 4, "caption_projection_dim": 32, "out_channels": 4},
        by_layers("JointTransformerBlock"),
        hidden(encoder_hidden_states=text, pooled_projections=lambda: torch.randn(2, 16)),
    ),
    case(
        "FluxTransformer2DModel",
        {**JOINT, "in_channels": 4, "num_layers": 2, "num_single_layers": 3, "num_attention_heads": 2}
        | {"attention_head_dim": 16, "axes_dims_rope": (4, 4, 8)},
        flux,
        flux_inputs,
    ),
    case(
        "AuraFlowTransformer2DModel",
        {"sample_size": 16, "in_channels": 4, "num_mmdit_layers": 2, "num_single_dit_layers": 3}
        | {"attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 16}
        | {"caption_projection_dim": 32, "pos_embed_max_size": 64},
        aura,
        hidden(encoder_hidden_states=text, timestep=lambda: torch.tensor([0.3, 0.7])),
    ),
    case(
        "SanaTransformer2DModel",
        {**TOKENS, "patch_size": 1, "in_channels": 4, "out_channels": 4, "num_cross_attention_heads": 2}
        | {"cross_attention_head_dim": 16, "cross_attention_dim": 32, "caption_channels": 16},
        by_layers("SanaTransformerBlock"),
        hidden(encoder_hidden_states=text),
    ),
    case(
        "WanTransformer3DModel",
        {"num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 4, "out_channels": 4}
        | {"text_dim": 16, "freq_dim": 16, "ffn_dim": 32, "num_layers": 3},
        by_layers("WanTransformerBlock"),
        hidden(encoder_hidden_states=text, hidden_states=lambda: torch.randn(2, 4, 2, 8, 8)),
    ),
    case(
        "PriorTransformer",
        {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 3, "embedding_dim": 16}
        | {"num_embeddings": 5},
        by_layers("BasicTransformerBlock"),
        hidden(
            hidden_states=lambda: torch.randn(2, 16),
            proj_embedding=lambda: torch.randn(2, 16),
            encoder_hidden_states=text,
        ),
    ),
    case(
        "StableCascadeUNet",
        {"in_channels": 4, "out_channels": 4, "timestep_ratio_embedding_dim": 16, "conditioning_dim": 16}
        | {"block_out_channels": (16, 32), "num_attention_heads": (2, 2), "clip_text_in_channels": 16}
        | {"down_num_layers_per_block": (1, 2), "up_num_layers_per_block": (2, 1)}
        | {"clip_text_pooled_in_channels": 16, "clip_image_in_channels": 16}
        | {"switch_level": [False]},
        cascade,
        cascade_inputs,
    ),
]
