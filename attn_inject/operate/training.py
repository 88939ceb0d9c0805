"""Training inserted modules: freeze the base, and pass the rest to an optimizer."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from attn_inject.errors import NoSiteError, nearest
from attn_inject.surgery.inserted import AttnInject, inserted_modules


class Frozen:
    """A base that is frozen until `remove` is called.

    Attributes:
        parameters: Those that were trainable before.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], hooks: Sequence[Any]) -> None:
        self.parameters = tuple(parameters)
        self._hooks = tuple(hooks)

    def remove(self) -> None:
        """Make the base's parameters trainable again, as before freezing."""
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        for hook in self._hooks:
            hook.remove()


def freeze_base(model: nn.Module, *, also: Sequence[str] = (), statistics: bool = True) -> Frozen:
    """Freeze everything in a modified model except the attention modules, in place.

    Afterwards training changes no tensor of the base, so `remove` returns exactly the base.

    Args:
        model: A modified model.
        also: Globs of parameters that stay trainable, such as those of a new classifier, `fc.*`.
        statistics: Whether batch norms of the base also use their running statistics, in `train()` too; if
            not, they normalise by the batch and update the statistics.

    Returns:
        Its `remove()` undoes this.

    Raises:
        NoSiteError: The model has no inserted module, so nothing would be left to train; or a glob of
            `also` matches no parameter.
    """
    _require_inserted(model)
    own = _inserted_ids(model, lambda module: module.parameters())
    _require_matches(model, also)
    learning = [
        p
        for name, p in model.named_parameters()
        if p.requires_grad and id(p) not in own and not any(fnmatch.fnmatchcase(name, g) for g in also)
    ]
    for parameter in learning:
        parameter.requires_grad_(False)
    inside = _inserted_ids(model, lambda module: module.modules())
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and id(m) not in inside]
    hooks = [norm.register_forward_pre_hook(_keep_to_statistics) for norm in norms if statistics]
    return Frozen(learning, hooks)


def attention_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The trainable parameters of the inserted modules, for an optimizer.

    Args:
        model: A modified model.

    Raises:
        NoSiteError: The model has no inserted module.
    """
    _require_inserted(model)
    own = _inserted_ids(model, lambda module: module.parameters())
    return [p for p in model.parameters() if id(p) in own and p.requires_grad]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """All trainable parameters, in two groups for an optimizer: with weight decay and without.

    The second group has the parameters of at most one dimension: `alpha`, which decay would pull towards
    zero, biases, and the scales and shifts of norms.

    Args:
        model: Any model, modified or not.
        weight_decay: Of the first group, as the optimizer takes it.
    """
    learning = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _require_matches(model: nn.Module, globs: Sequence[str]) -> None:
    names = [name for name, _ in model.named_parameters()]
    for glob in globs:
        if not fnmatch.filter(names, glob):
            raise NoSiteError(
                f"{glob!r} matches no parameter of the model.",
                hint=f"The nearest are {', '.join(nearest(glob, names))}.",
            )


def _keep_to_statistics(norm: nn.Module, inputs: Any) -> None:
    norm.training = False


def _inserted_ids(model: nn.Module, things: Callable[[AttnInject], Any]) -> set[int]:
    return {id(thing) for module in inserted_modules(model).values() for thing in things(module)}


def _require_inserted(model: nn.Module) -> None:
    if not inserted_modules(model):
        raise NoSiteError(
            f"This {type(model).__name__} holds no attention module that attn-inject inserted.",
            hint="Pass result.model of attn_inject.inject, or the result of attn_inject.load.",
        )
