"""An operated architecture, and how one model of it is built: timm builds the base, then it is operated."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import nn

from attn_inject.blocks.finder import find
from attn_inject.inputs import InputSpec
from attn_inject.plan import Plan
from attn_inject.sources.from_object import guess_input
from attn_inject.surgery import splice as splicing
from attn_inject.surgery.edit import Splice
from attn_inject.surgery.inject import decide
from attn_inject.timm import weights


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a name stands for.

    Attributes:
        name: As timm is to know it.
        base: The architecture that is operated, a name that timm knows.
        plan: What to write in, and where.
        input_size: (C, H, W) in pixels that the attention modules are made for; None takes the model's own.
    """

    name: str
    base: str
    plan: Plan
    input_size: tuple[int, ...] | None = None

    def build(
        self, *, pretrained: bool = False, attn_input_size: Sequence[int] | None = None, **arguments: Any
    ) -> nn.Module:
        """A model of this architecture; new parameters come from the global random state, as timm's do.

        Args:
            pretrained: Whether to load the base's weights.
            attn_input_size: (C, H, W) in pixels; overrules `input_size`.
            arguments: What `timm.create_model` hands to the base.

        Raises:
            NoSiteError: Nothing matches the plan.
            FitError: Nothing that matches can take its module.
            ModelError: The base does not run.
            FileError: The weights hold attention tensors, and of another operated architecture.
        """
        trained: weights.State = {}
        if pretrained:
            arguments, trained = weights.taken_apart(self.name, arguments)
        model: nn.Module = timm.models.model_entrypoint(self.base)(pretrained=pretrained, **arguments)
        size = tuple(attn_input_size) if attn_input_size else self.input_size
        splices = self._write_in(model, _inputs(model, size, arguments))
        if self.plan.start == "auto" and not pretrained:
            _set_alphas(model, splices, 1.0)
        if trained:
            weights.put(model, trained, self.name)
        _name(model, self.name, size)
        return model

    def _write_in(self, model: nn.Module, inputs: InputSpec) -> tuple[Splice, ...]:
        findings = find(model, inputs, blocks=self.plan.blocks, at=self.plan.at)
        start = "paper" if self.plan.start == "paper" else "identity"
        decision = decide(model, findings, self.plan, start=start)
        splicing.apply(model, decision.splices)
        return decision.splices


def _inputs(model: nn.Module, size: tuple[int, ...] | None, arguments: dict[str, Any]) -> InputSpec:
    """How to call the model: the size asked for, else its own, as the arguments changed it."""
    guessed = guess_input(model, size)
    if size is not None or guessed.size is None:
        return guessed
    channels, *image = guessed.size
    given = arguments.get("img_size", image)
    image = [given, given] if isinstance(given, int) else list(given)
    return dataclasses.replace(guessed, size=(arguments.get("in_chans", channels), *image))


def _set_alphas(model: nn.Module, splices: Sequence[Splice], value: float) -> None:
    for splice in splices:
        alpha = model.get_parameter(f"{splice.name}.{splice.module}.alpha")
        with torch.no_grad():
            alpha.fill_(value)


def _name(model: nn.Module, name: str, size: tuple[int, ...] | None) -> None:
    """Tell timm what the model is: its hub tools save the name, and data loading asks for the size."""
    config: Any = weights.forget({**getattr(model, "pretrained_cfg", {}), "architecture": name})
    if size is not None:
        config["input_size"] = size
    model.pretrained_cfg = model.default_cfg = config
