"""A model as it comes from a source: the module, how to call it, and where it is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from attn_inject.models.inputs import InputSpec
from attn_inject.weights import WeightsOrigin


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Enough to build the same architecture again, as plain data.

    Attributes:
        source: `timm`, `torchvision`, `factory`, or `object` (cannot be rebuilt).
        name: Its name in the source: `resnet50.a1_in1k`, `regnet_y_400mf`, `package.module:factory`.
        arguments: Keyword arguments of the builder, JSON values only.
        input_size: (C, H, W) in pixels, or None.
        weights: Where the weights are from; None in files that an older version wrote.
    """

    source: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input_size: tuple[int, ...] | None = None
    weights: WeightsOrigin | None = field(default=None, compare=False, metadata={"later": True})


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """What every source returns.

    Attributes:
        model: The module, in eval mode.
        inputs: How to call it.
        provenance: Where it is from.
        has_weights: Whether trained weights were loaded (`--pretrained` or `--weights`).
        notes: Sentences for people: the other library that has this name, weights that did not match.
    """

    model: nn.Module
    inputs: InputSpec
    provenance: Provenance
    has_weights: bool = False
    notes: tuple[str, ...] = ()
