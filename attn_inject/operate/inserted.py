"""The inserted modules of a live model: examine, train, bypass and remove them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from torch import nn

from attn_inject.errors import NoSiteError
from attn_inject.operate.training import Frozen, attention_parameters, freeze_base
from attn_inject.results import InsertedStatus
from attn_inject.shown import Shown
from attn_inject.surgery.apply import spec_label
from attn_inject.surgery.bypass import bypassed
from attn_inject.surgery.inserted import AttnInject, inserted_by_site
from attn_inject.surgery.removal import remove


class InsertedModules(Mapping[str, AttnInject], Shown):
    """The inserted modules of a model, by the name of the block that holds each.

    A block that holds several has one entry for each, `layer1.0` and `layer1.0#1`. The mapping shows the
    model at the time of the call.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._modules = inserted_by_site(model)

    def __getitem__(self, site: str) -> AttnInject:
        return self._modules[site]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __repr__(self) -> str:
        return f"<{len(self)} inserted modules of {type(self.model).__name__}>"

    def parameters(self) -> list[nn.Parameter]:
        """The trainable parameters of these modules, for an optimizer."""
        return attention_parameters(self.model)

    def freeze_base(self, *, also: Sequence[str] = (), statistics: bool = True) -> Frozen:
        """Freeze everything else in the model; see `attn_inject.freeze_base`."""
        return freeze_base(self.model, also=also, statistics=statistics)

    def bypassed(self) -> AbstractContextManager[None]:
        """Within the context every module returns its input, and the model computes what its base computes.

        Raises:
            FitError: A module replaces another one, so it cannot be bypassed.
        """
        return bypassed(self.model)

    def remove(self) -> nn.Module:
        """Remove all of them again, in place; see `attn_inject.remove`."""
        return remove(self.model)

    def status(self) -> tuple[InsertedStatus, ...]:
        """The current state of each module."""
        return tuple(_status(site, module) for site, module in self.items())


def inserted(model: nn.Module) -> InsertedModules:
    """The attention modules that are inserted in a live model.

    Args:
        model: A modified model.

    Raises:
        NoSiteError: It has none.
    """
    modules = InsertedModules(model)
    if not modules:
        raise NoSiteError(
            f"This {type(model).__name__} holds no attention module that attn-inject inserted.",
            hint="Pass result.model of attn_inject.inject, or the result of attn_inject.load.",
        )
    return modules


def _status(site: str, module: AttnInject) -> InsertedStatus:
    edit, parameters = module.edit, list(module.parameters())
    return InsertedStatus(
        site=site,
        attention=spec_label(edit) if edit is not None else type(module.attention).__name__,
        placement=edit.placement if edit is not None else "",
        alpha=None if module.alpha is None or module.alpha.is_meta else float(module.alpha.detach()),
        params=sum(parameter.numel() for parameter in parameters),
        learning=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        training=module.training,
        bypassed=module.bypassed,
    )
