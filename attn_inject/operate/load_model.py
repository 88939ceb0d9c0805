"""A model from a name, a request, a saved file, or the object itself."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from attn_inject import models
from attn_inject.errors import ModelError, UsageError
from attn_inject.files import formats
from attn_inject.files.hub_folder import is_hub_folder
from attn_inject.files.loading import load
from attn_inject.files.verified_origin import verified_origin
from attn_inject.models.clone import deep_copy
from attn_inject.models.inputs import InputSpec, as_size
from attn_inject.models.loaded import LoadedModel
from attn_inject.models.randomness import seeded
from attn_inject.operate.containment import contained
from attn_inject.request import ModelRequest
from attn_inject.surgery.origin import origin_of


@contained()
def load_model(
    model: nn.Module | str | ModelRequest,
    *,
    shapes_only: bool = False,
    example_input: Any = None,
    input_size: int | Sequence[int] | None = None,
    seed: int = 0,
) -> LoadedModel:
    """A model from a name, a request or an object; an object is not copied.

    Args:
        model: What to load.
        shapes_only: Whether shapes are enough, for planning and counting (names and requests only).
        example_input: A tensor, a tuple of arguments or a dictionary of keywords, if the input cannot be
            guessed.
        input_size: (C, H, W) in pixels; 224 and (224, 224) mean three channels.
        seed: Of the initial weights.

    Raises:
        UsageError: It is none of these.
    """
    _require_model(model)
    size = None if input_size is None else as_size(input_size)
    if isinstance(model, nn.Module):
        return _in_hand(model, example_input, size)
    if isinstance(model, str):
        model = ModelRequest(name=model, input_size=size)
    if is_saved_file(model.name):
        return _reopened(model)
    with seeded(seed):
        loaded = models.load(model, shapes_only=shapes_only)
    weights = loaded.provenance.weights
    if weights is None or not weights.is_random:
        return loaded
    seeds = dataclasses.replace(loaded.provenance, weights=dataclasses.replace(weights, seed=seed))
    return dataclasses.replace(loaded, provenance=seeds)


def _require_model(model: object) -> None:
    """Refuse objects that are often passed as a model: its class, its state dict, the path of its file."""
    if isinstance(model, nn.Module | str | ModelRequest):
        return
    hints = {
        type: "Create an instance, and pass that.",
        Mapping: "A state dict is not a model: load it into one, or pass ModelRequest(weights=FILE).",
        os.PathLike: "Pass it as text, str(path).",
    }
    what = f"the class {model.__name__}" if isinstance(model, type) else f"one of {type(model).__name__}"
    known = (hint for kind, hint in hints.items() if isinstance(model, kind))
    raise UsageError(
        f"A model is a module, a name or a ModelRequest, not {what}.",
        hint=next(known, "Pass one of these."),
    )


def _in_hand(model: nn.Module, example_input: Any, input_size: Sequence[int] | None) -> LoadedModel:
    """An object; one that was modified before carries its origin."""
    origin = verified_origin(model) if origin_of(model) else None
    if origin is not None and example_input is None and input_size is None:
        input_size = origin.provenance.input_size
    loaded = models.from_object(model, example_input=example_input, input_size=input_size)
    provenance = origin.provenance if origin is not None else loaded.provenance
    # A module object has weights that must not be changed.
    return dataclasses.replace(loaded, provenance=provenance, has_weights=True)


def is_saved_file(name: str) -> bool:
    """Whether a model's name is the path of a file, or of a folder with one that `export` wrote."""
    return (name.endswith(formats.SUFFIXES) and os.path.isfile(name)) or is_hub_folder(name)


def _reopened(request: ModelRequest) -> LoadedModel:
    """A model from a saved file, which says what builds it."""
    asked = {
        "--weights": request.weights is not None,
        "--pretrained": request.pretrained,
        "--num-classes": request.num_classes is not None,
        "--model-arg": bool(request.model_args),
    }
    if refused := [option for option, given in asked.items() if given]:
        raise UsageError(f"{refused[0]} does not go with a saved file, which holds a complete model.")
    model = load(request.name, trust=request.trust)
    origin = origin_of(model)
    assert origin is not None
    provenance = origin.provenance
    return LoadedModel(
        model=model,
        inputs=InputSpec(request.input_size or provenance.input_size),
        provenance=provenance,
        has_weights=True,
    )


@contained()
def copied(loaded: LoadedModel) -> LoadedModel:
    """The same with a deep copy of the model.

    Raises:
        ModelError: It cannot be copied.
    """
    try:
        return dataclasses.replace(loaded, model=deep_copy(loaded.model))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"The model cannot be copied: {reason:.200}",
            hint="Pass one that can be copied, perhaps before its first forward, or use inplace=True.",
        ) from error


def name_of(model: nn.Module | str | ModelRequest) -> str:
    """What the user calls a model; an object is called by its class."""
    if isinstance(model, nn.Module):
        return type(model).__name__
    return model if isinstance(model, str) else model.name
