"""The architecture under which timm builds what `export --format hub` and `push` wrote.

Its argument is the recipe in the folder's `config.json`. timm has no `--trust`, so a recipe that names other
code is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import timm
from torch import nn

from attn_inject.errors import FileError
from attn_inject.files.hub_folder import RECIPE
from attn_inject.files.loading import check_trust
from attn_inject.files.rebuild import repeat
from attn_inject.files.recipe import from_plain
from attn_inject.models import from_timm
from attn_inject.models.timm_folder import CONFIG, MODIFIED
from attn_inject.surgery.origin import Origin, attach_origin
from attn_inject.timm import modified
from attn_inject.timm.architecture import plain_arguments

__all__ = ["MODIFIED", "build", "entrypoint"]


def build(
    *,
    pretrained: bool = False,
    pretrained_cfg: Mapping[str, Any] | None = None,
    pretrained_cfg_overlay: Mapping[str, Any] | None = None,
    cache_dir: str | None = None,
    **arguments: Any,
) -> nn.Module:
    """The base with the recorded edits, and the weights of the folder if asked.

    Args:
        pretrained: Whether to load the weights; without, they are random, the attention's, too.
        pretrained_cfg: The folder's configuration, which says where the weights are.
        pretrained_cfg_overlay: Replaces values in it.
        cache_dir: Where timm keeps what it fetches.
        arguments: The recipe, and what `timm.create_model` passes to the base.

    Raises:
        FileError: There is no recipe, it names code, its base is not timm's, or it does not fit the base as
            it is built with these arguments.
        ModelError: The base refuses an argument.
    """
    plain = arguments.pop(RECIPE, None)
    if plain is None:
        raise FileError(
            f"{MODIFIED} is built from a folder only.", hint="timm.create_model('local-dir:FOLDER')"
        )
    recipe = from_plain(plain)
    check_trust(recipe, CONFIG, trust=False)
    base = recipe.provenance
    if base.source != "timm":
        raise FileError(
            f"The base, {base.name}, is from {base.source}, not from timm.",
            hint="attn_inject.load(FOLDER) loads it.",
        )
    given = {**base.arguments, **arguments}
    reserved = from_timm.RESERVED & given.keys()
    if reserved:
        raise FileError(f"{CONFIG} asks for {', '.join(sorted(reserved))}, which no architecture needs.")
    model = from_timm.build(base.name, given)
    repeat(model, recipe, CONFIG)
    config = {**(pretrained_cfg or {}), **(pretrained_cfg_overlay or {})}
    if pretrained:
        timm.models.load_pretrained(
            model,
            config,
            num_classes=getattr(model, "num_classes", 0),
            in_chans=given.get("in_chans", 3),
            cache_dir=cache_dir,
        )
    model.pretrained_cfg = model.default_cfg = {**config, "architecture": MODIFIED}  # type: ignore[assignment]
    now = dataclasses.replace(base, arguments={**base.arguments, **plain_arguments(arguments)})
    attach_origin(model, Origin(now, recipe.plans))
    return model


def entrypoint() -> Callable[..., nn.Module]:
    """The function that timm registers."""

    def made(pretrained: bool = False, **arguments: Any) -> nn.Module:
        return build(pretrained=pretrained, **arguments)

    made.__name__ = made.__qualname__ = MODIFIED
    made.__module__ = modified.__name__
    made.__doc__ = "What `attn-inject export --format hub` wrote."
    setattr(modified, MODIFIED, made)
    return made
