"""A modified architecture, and how one model of it is built: timm builds the base, then it is modified."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import nn

from attn_inject.models import from_timm
from attn_inject.models.from_object import guess_input
from attn_inject.models.inputs import InputSpec
from attn_inject.models.loaded import Provenance
from attn_inject.request import Plan, to_dict
from attn_inject.surgery.apply import apply_edits
from attn_inject.surgery.decide import decide, resolve_start, search
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.origin import Origin, attach_origin, origin_of
from attn_inject.timm import attention_weights


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The architecture of a name.

    Attributes:
        name: Its name in timm.
        base: The architecture that is modified, a name that timm knows.
        plan: What to insert, and where.
        input_size: (C, H, W) in pixels for which the attention modules are built; None takes the model's own.
    """

    name: str
    base: str
    plan: Plan
    input_size: tuple[int, ...] | None = None

    def build(
        self, *, pretrained: bool = False, attn_input_size: Sequence[int] | None = None, **arguments: Any
    ) -> nn.Module:
        """A model of this architecture; new parameters come from the global random state, like timm's.

        Args:
            pretrained: Whether to load the base's weights.
            attn_input_size: (C, H, W) in pixels; overrules `input_size`.
            arguments: What `timm.create_model` passes to the base.

        Raises:
            NoSiteError: Nothing matches the plan.
            FitError: Nothing that matches can take its module.
            ModelError: The base does not run.
            FileError: The weights hold attention tensors of another modified architecture.
        """
        trained: attention_weights.State = {}
        if pretrained:
            arguments, trained = attention_weights.taken_apart(self.name, arguments)
        model: nn.Module = timm.models.model_entrypoint(self.base)(pretrained=pretrained, **arguments)
        earlier = origin_of(model)
        size = tuple(attn_input_size) if attn_input_size else self.input_size
        edits = self._write_in(model, _inputs(model, size, arguments))
        if self.plan.start == "auto" and not pretrained:
            _set_alphas(model, edits, 1.0)
        if trained:
            attention_weights.put(model, trained, self.name)
        attach_origin(model, self._origin(earlier, arguments))
        _name(model, self.name, size)
        return model

    def _write_in(self, model: nn.Module, inputs: InputSpec) -> tuple[Edit, ...]:
        # With weights or without, so that the keys of the state dict depend only on the name.
        start = resolve_start(self.plan, has_weights=True)
        decision = decide(model, search(model, inputs, self.plan), self.plan, start=start)
        apply_edits(model, decision.edits)
        return decision.edits

    def _origin(self, earlier: Origin | None, arguments: Mapping[str, Any]) -> Origin:
        """Attach the model's origin, so that `attn_inject.save` can save it."""
        tag = arguments.get("pretrained_cfg")
        named = Provenance(
            source="timm",
            name=f"{self.base}.{tag}" if tag and isinstance(tag, str) else self.base,
            arguments=plain_arguments(arguments),
        )
        origin = earlier or Origin(named, ())
        start = resolve_start(self.plan, has_weights=True)
        plan = to_dict(dataclasses.replace(self.plan, start=start))
        return Origin(origin.provenance, (*origin.plans, plan))


def plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a file can hold; the others are visible in the model's structure."""
    left_out = {*from_timm.RESERVED, "device", "dtype"}
    kept = {key: value for key, value in arguments.items() if key not in left_out}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in kept.items()
        if isinstance(value, bool | int | float | str | list | tuple)
    }


def _inputs(model: nn.Module, size: tuple[int, ...] | None, arguments: dict[str, Any]) -> InputSpec:
    """How to call the model: the requested size, else its own, as changed by the arguments."""
    guessed = guess_input(model, size)
    if size is not None or guessed.size is None:
        return guessed
    channels, *image = guessed.size
    given = arguments.get("img_size", image)
    image = [given, given] if isinstance(given, int) else list(given)
    return dataclasses.replace(guessed, size=(arguments.get("in_chans", channels), *image))


def _set_alphas(model: nn.Module, edits: Sequence[Edit], value: float) -> None:
    for edit in edits:
        if edit.start == "identity":
            with torch.no_grad():
                model.get_parameter(f"{edit.path}.alpha").fill_(value)


def _name(model: nn.Module, name: str, size: tuple[int, ...] | None) -> None:
    """Set timm's attributes of the model: its hub tools save the name, and data loading reads the size."""
    config: Any = attention_weights.forget({**getattr(model, "pretrained_cfg", {}), "architecture": name})
    if size is not None:
        config["input_size"] = size
    model.pretrained_cfg = model.default_cfg = config
