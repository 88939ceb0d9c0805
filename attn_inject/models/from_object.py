"""A model that is already built and passed as an object; it cannot be built again from a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from attn_inject.errors import ModelError
from attn_inject.models.from_torchvision import own_size
from attn_inject.models.input_channels import pixels_a_channel
from attn_inject.models.inputs import InputSpec
from attn_inject.models.loaded import LoadedModel, Provenance
from attn_inject.models.torchvision_inputs import kind_of
from attn_inject.weights import WeightsOrigin

_USUAL = (3, 224, 224)


def from_object(
    model: nn.Module, example_input: Any = None, input_size: Sequence[int] | None = None
) -> LoadedModel:
    """Wrap `model` itself, neither copied nor changed, with a guess at how to call it.

    Args:
        model: Any module.
        example_input: A tensor, a tuple of positional arguments or a dictionary of keywords; it overrules
            `input_size`.
        input_size: (channels, height, width) in pixels; by default the size in the model's own
            configuration, else (3, 224, 224).

    Raises:
        ModelError: It is compiled, scripted or distributed, or has lazy layers.
    """
    _refuse_made(model)
    if lazy := [name for name, parameter in model.named_parameters() if is_lazy(parameter)]:
        raise ModelError(
            f"The model has parameters without a shape, {lazy[0]} for one.",
            hint="Run it once, so that its lazy layers learn their shapes.",
        )
    size = tuple(input_size) if input_size is not None else None
    inputs = guess_input(model, size) if example_input is None else InputSpec.from_example(example_input)
    kind = type(model)
    provenance = Provenance(
        source="object",
        name=f"{kind.__module__}.{kind.__qualname__}",
        input_size=inputs.size or size,
        weights=WeightsOrigin(kind="object"),
    )
    return LoadedModel(model=model, inputs=inputs, provenance=provenance)


def _refuse_made(model: nn.Module) -> None:
    """Refuse a model that was compiled or wrapped as it was, and would not see new parameters."""
    if isinstance(model, nn.parallel.DistributedDataParallel):
        raise ModelError(
            "The model is wrapped in DistributedDataParallel, which would not synchronise new parameters.",
            hint="Inject into model.module, and wrap the result.",
        )
    if type(model).__name__ == "OptimizedModule":
        raise ModelError(
            "The model was made by torch.compile, which hides its modules.",
            hint="Pass the module that was compiled (model._orig_mod), and compile the result.",
        )
    scripted = [name for name, m in model.named_modules() if isinstance(m, torch.jit.ScriptModule)]
    if scripted:
        what = f"The module {scripted[0]!r}" if scripted[0] else "The model"
        raise ModelError(
            f"{what} was made by torch.jit, which hides its modules.",
            hint="Pass the model as it was before torch.jit, and trace the result.",
        )


def guess_input(model: nn.Module, size: tuple[int, ...] | None) -> InputSpec:
    """One image of `size`, else of the size of torchvision's kind of model or of timm's configuration."""
    for base in type(model).__mro__:
        kind = kind_of(base.__module__)
        if kind is not None:
            return kind.spec(size or own_size(model, kind))
    return InputSpec(size=size or _configured_size(model) or _USUAL)


def _configured_size(model: nn.Module) -> tuple[int, ...] | None:
    """The size in timm's configuration, corrected by the size that the layers were built for."""
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None)
    if not isinstance(config, dict) or not config.get("input_size"):
        return None
    channels, *image = config["input_size"]
    first = config.get("first_conv")
    if isinstance(first, str) and first in dict(model.named_modules()):
        read = getattr(model.get_submodule(first), "in_channels", channels)
        channels = read // pixels_a_channel(model)
    made_for = getattr(getattr(model, "patch_embed", None), "img_size", None)
    if isinstance(made_for, tuple) and len(made_for) == 2:
        image = list(made_for)
    return (channels, *image)
