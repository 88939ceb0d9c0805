"""Which modules of a model are in training mode, as it was given and after train() and eval()."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from attn_inject.surgery.inserted import AttnInject

Flags = Mapping[str, bool]


@dataclass(frozen=True)
class Modes:
    """Whether each module is in training mode, by qualified name.

    Attributes:
        given: As the model was given.
        training: After train(); a model may keep some of its modules from following.
        evaluation: After eval().
    """

    given: Flags
    training: Flags
    evaluation: Flags


def modes_of(model: nn.Module) -> Modes:
    """The modes of a model, which are restored afterwards."""
    given = _flags(model)
    try:
        return Modes(given, _flags(model.train()), _flags(model.eval()))
    finally:
        for name, module in model.named_modules():
            module.training = given[name]


def difference_in_modes(model: nn.Module, modes: Modes, before: Modes) -> str | None:
    """The first module that is in another mode than in the base, as a sentence; None if there is none.

    An inserted module, and all within it, has the mode of its block.

    Args:
        model: The modified model.
        modes: Of the modified model.
        before: Of the untouched one.
    """
    owners = _owners(model)
    for when, now, base in (
        ("as given", modes.given, before.given),
        ("after train()", modes.training, before.training),
        ("after eval()", modes.evaluation, before.evaluation),
    ):
        for name, is_training in now.items():
            expected = base.get(name, now[owners[name]] if name in owners else is_training)
            if is_training is not expected:
                return f"{name} is in {_mode(is_training)} mode {when}, not in {_mode(expected)} mode"
    return None


def _flags(model: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


def _owners(model: nn.Module) -> dict[str, str]:
    """For each module that was inserted, the name of the block that holds it."""
    owners: dict[str, str] = {}
    for name, module in model.named_modules():
        if isinstance(module, AttnInject):
            block = name.rpartition(".")[0]
            owners |= {f"{name}.{inner}".rstrip("."): block for inner, _ in module.named_modules()}
    return owners


def _mode(is_training: bool) -> str:
    return "training" if is_training else "evaluation"
