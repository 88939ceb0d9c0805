"""Checks before saving whether a model's origin still builds it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator

from torch import nn

from attn_inject import models
from attn_inject.errors import AttnInjectError
from attn_inject.files.rebuild import rebuild
from attn_inject.files.recipe import Recipe
from attn_inject.files.structure_digest import first_difference, structure
from attn_inject.models.loaded import Provenance
from attn_inject.surgery.inserted import recorded_edits
from attn_inject.surgery.origin import Origin, origin_of


class OriginWarning(UserWarning):
    """A model was changed by hand, so its file needs `base=`."""


def verified_origin(model: nn.Module) -> Origin:
    """The origin of a modified model, as a file may state it.

    A user may have changed the model since it was built. Another number of classes is recorded; if its origin
    no longer builds it, its source is `object`, and an `OriginWarning` says why.
    """
    origin = origin_of(model)
    if origin is None:
        return Origin(models.from_object(model).provenance, ())
    # A factory is not run for this, and an object has none.
    if origin.provenance.source not in ("timm", "torchvision"):
        return origin
    reasons = []
    for provenance in _candidates(model, origin.provenance):
        reason = _difference(model, provenance)
        if reason is None:
            return dataclasses.replace(origin, provenance=provenance)
        reasons.append(reason)
    warnings.warn(
        f"The model is no longer what {origin.provenance.name} builds: {reasons[0]} "
        "Its file loads only with base=.",
        OriginWarning,
        stacklevel=3,
    )
    return dataclasses.replace(origin, provenance=models.from_object(model).provenance)


def _candidates(model: nn.Module, provenance: Provenance) -> Iterator[Provenance]:
    yield provenance
    classes = getattr(model, "num_classes", None)  # timm records reset_classifier there
    if isinstance(classes, int) and provenance.arguments.get("num_classes") != classes:
        yield dataclasses.replace(provenance, arguments={**provenance.arguments, "num_classes": classes})


def _difference(model: nn.Module, provenance: Provenance) -> str | None:
    """The difference between a model and what its origin builds, or None."""
    state = model.state_dict()
    recipe = Recipe(provenance, recorded_edits(model))
    try:
        built = rebuild(recipe, "The model", keys=state.keys(), kept=None, trust=True)
    except AttnInjectError as error:
        return error.message
    if difference := first_difference(structure(built), structure(model)):
        return f"{difference}."
    other = built.state_dict().keys() ^ state.keys()
    return f"{min(other)} is in one of them only." if other else None
