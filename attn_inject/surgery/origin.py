"""What a modified model carries with it, so that whoever has it in hand can save it: its origin.

It hangs on the inserted modules, so it survives copies and pickles, and goes when they are removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from attn_inject.models.loaded import Provenance
from attn_inject.surgery.inserted import inserted_modules


@dataclass(frozen=True)
class Origin:
    """Where a model is from and what was asked of it.

    Attributes:
        provenance: Of the untouched model.
        plans: What was asked, operation by operation, as `plan.to_dict` gives it.
    """

    provenance: Provenance
    plans: tuple[Mapping[str, Any], ...]


def attach_origin(model: nn.Module, origin: Origin) -> None:
    """Let a modified model know its origin, and its modules where they are in it."""
    for name, module in inserted_modules(model).items():
        module.origin = origin
        if module.edit is not None:
            module.edit = module.edit.at(name.rpartition(".")[0])


def origin_of(model: nn.Module) -> Origin | None:
    """The origin of a model, or None: it was never modified, or has become a part of something larger."""
    origin = None
    for name, module in inserted_modules(model).items():
        edit = module.edit
        if edit is None or name != edit.path:
            return None
        origin = module.origin
    return origin if isinstance(origin, Origin) else None
