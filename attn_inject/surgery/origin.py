"""The origin of a modified model. The model carries it, so it can be saved without more information.

It is an attribute of the inserted modules, so it stays in copies and pickles, and goes when they are removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from attn_inject.models.loaded import Provenance
from attn_inject.surgery.inserted import inserted_modules, recorded_edits


@dataclass(frozen=True)
class Origin:
    """The source of a model and the plans that were applied to it.

    Attributes:
        provenance: Of the untouched model.
        plans: The plans in their order, each as `request.to_dict` returns it.
    """

    provenance: Provenance
    plans: tuple[Mapping[str, Any], ...]


def attach_origin(model: nn.Module, origin: Origin) -> None:
    """Attach the origin to a modified model, and the current names to its edits."""
    current = {edit.path: edit for edit in recorded_edits(model)}
    for name, module in inserted_modules(model).items():
        module.origin = origin
        module.edit = current.get(name, module.edit)


def origin_of(model: nn.Module) -> Origin | None:
    """The origin of a model, or None if it was never modified, or has become part of a larger model."""
    origin = None
    for name, module in inserted_modules(model).items():
        edit = module.edit
        if edit is None or name != edit.path:
            return None
        origin = module.origin
    return origin if isinstance(origin, Origin) else None
