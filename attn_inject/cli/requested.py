"""What is asked of `inject`: a recipe file, and the typed options, which overrule it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import typer

from attn_inject.cli import options
from attn_inject.errors import UsageError
from attn_inject.files import request_toml
from attn_inject.request import ModelRequest, Plan, SiteOptions

EXAMPLE = "attn-inject resnet50 --attn ela-l --out model.pt"

_MODEL = {key.replace("-", "_") for key in request_toml.MODEL_KEYS}
_PLAN = {key.replace("-", "_") for key in request_toml.PLAN_KEYS}
_READ: dict[str, Callable[[Any], Any]] = {
    "stage": options.parse_stages,
    "input_size": options.parse_input_size,
    "model_arg": lambda texts: dict(options.parse_model_arg(text) for text in texts),
}


@dataclass(frozen=True)
class Requested:
    """A model, and its plans in order."""

    model: ModelRequest
    plans: tuple[Plan, ...]


def requested(ctx: typer.Context, recipe: Any, *, trust: bool) -> Requested:
    """Read the recipe file, if one is named, and overrule it by the typed options.

    A typed option applies to every plan of a recipe.

    Raises:
        UsageError: An option's text does not parse, no model or no attention module is named.
        UnknownNameError: No such attention module, placement, start, check or kind of block.
        FileError: The recipe cannot be read, or names code and is not trusted.
    """
    typed = typed_options(ctx)
    asked = request_toml.RecipeFile({}, ({},))
    if recipe is not None:
        asked = request_toml.read_recipe(recipe, trust=trust)
    plans = tuple(_plan({**operation, **_only(typed, _PLAN)}) for operation in asked.operations)
    return Requested(model_request({**asked.model, **_only(typed, _MODEL)}, trust=trust), plans)


def typed_options(ctx: typer.Context) -> dict[str, Any]:
    """The options that were typed, by name, their text read."""
    typed = {}
    for name, value in ctx.params.items():
        source: Any = ctx.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            typed[name] = _READ[name](value) if name in _READ else value
    return typed


def refuse_plan_options(ctx: typer.Context, beside: str) -> None:
    """Refuse options that say what is inserted and where.

    Raises:
        UsageError: One of them was typed.
    """
    wrong = sorted(_only(typed_options(ctx), {*_PLAN, "recipe"}))
    if wrong:
        raise UsageError(
            f"--{wrong[0].replace('_', '-')} does not go with {beside}, which says what is inserted."
        )


def model_request(values: Mapping[str, Any], *, trust: bool) -> ModelRequest:
    """The model that options or a recipe file name.

    Raises:
        UsageError: They name none.
    """
    if not values.get("model"):
        raise UsageError("Missing argument 'MODEL'.", hint=f"For example `{EXAMPLE}`.")
    size = values.get("input_size")
    return ModelRequest(
        name=values["model"],
        pretrained=values.get("pretrained", False),
        weights=values.get("weights"),
        weights_key=values.get("weights_key"),
        num_classes=values.get("num_classes"),
        input_size=tuple(size) if size else None,
        model_args=values.get("model_arg", {}),
        trust=trust,
    )


def site_options(ctx: typer.Context) -> SiteOptions:
    """The options that choose sites, placement and start, typed or not, their text read.

    Raises:
        UsageError: An option's text does not parse.
    """
    values = {name: ctx.params[name] for name in SiteOptions.__annotations__}
    read = {name: _READ[name](value) if name in _READ else value for name, value in values.items()}
    return cast(SiteOptions, {name: () if value is None else value for name, value in read.items()})


def _plan(values: Mapping[str, Any]) -> Plan:
    rest = dict(values)
    attn = rest.pop("attn", None)
    if not attn:
        raise UsageError("No attention module is named.", hint=f"Add --attn NAME, for example `{EXAMPLE}`.")
    return Plan.of(options.parse_attention(attn), **rest)


def _only(values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}
