"""Bypasses inserted modules, so that a modified model computes what its base computes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from torch import nn

from attn_inject.errors import FitError
from attn_inject.surgery.inserted import AttnInject, inserted_modules


@contextmanager
def bypassed(model: nn.Module, names: Collection[str] | None = None) -> Iterator[None]:
    """Within the context every inserted module returns its input; afterwards each works as before.

    Args:
        model: A modified model, changed in place within the context.
        names: Of the inserted modules to pass by, `layer1.0.attn_inject`; None for all of them.

    Raises:
        FitError: An inserted module replaces another one, so it cannot be bypassed.
    """
    # A block that the model holds in two places has a name of its own for each.
    modules = inserted_modules(model) if names is None else named_modules(model, names)
    for name, module in modules.items():
        if stands_for_another(module):
            raise FitError(
                f"{name} replaces a module, so it cannot be bypassed.",
                hint="Bypass only modules that replace nothing; remove(model) restores the base.",
            )
    before = {module: module.bypassed for module in modules.values()}
    try:
        for module in before:
            module.bypassed = True
        yield
    finally:
        for module, was in before.items():
            module.bypassed = was


def named_modules(model: nn.Module, names: Collection[str]) -> dict[str, AttnInject]:
    """The inserted modules with these names."""
    found = {name: model.get_submodule(name) for name in names}
    return {name: module for name, module in found.items() if isinstance(module, AttnInject)}


def stands_for_another(module: AttnInject) -> bool:
    """Whether an inserted module replaces one of the base."""
    return module.replaced is not None or (module.edit is not None and module.edit.replaces)
