"""Models that a user's own function makes, named `package.module:factory`."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from torch import nn

from attn_inject.errors import ModelError, UsageError
from attn_inject.models.from_object import guess_input
from attn_inject.models.inputs import InputSpec
from attn_inject.models.library_errors import one_line, refused
from attn_inject.request import ModelRequest
from attn_inject.weights import WeightsOrigin

RESERVED: frozenset[str] = frozenset()
_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def resolve(text: str) -> str | None:
    """`text` if it is written as `package.module:factory`; nothing is imported."""
    return text if _NAME.fullmatch(text) else None


def builder_arguments(name: str, request: ModelRequest) -> dict[str, Any]:
    """The model arguments, and `num_classes` if the factory takes it.

    Raises:
        UsageError: It takes no `num_classes`.
        ModelError: There is no such factory.
    """
    arguments = dict(request.model_args)
    if request.num_classes is not None:
        if not _takes(_factory(name), "num_classes"):
            raise UsageError(
                f"The factory {name!r} takes no num_classes.",
                hint="Leave out num_classes (--num-classes), or give the factory that argument.",
            )
        arguments["num_classes"] = request.num_classes
    return arguments


def published(name: str, arguments: Mapping[str, Any]) -> str:
    """No weights are published for a factory.

    Raises:
        UsageError: Always.
    """
    raise UsageError(
        f"No weights are published for the factory {name!r}.",
        hint="Let the factory load them, or pass a file of weights (--weights FILE).",
    )


def build(name: str, arguments: dict[str, Any], *, pretrained: bool = False) -> nn.Module:
    """Call the factory.

    Raises:
        ModelError: It cannot be imported, it raises, or it does not return an `nn.Module`.
    """
    factory = _factory(name)
    try:
        model = factory(**arguments)
    except (Exception, SystemExit) as error:
        raise refused(f"The model of {name!r}", arguments, error) from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"The factory {name!r} returned a {type(model).__name__}, not a torch.nn.Module.")
    return model


def input_spec(
    model: nn.Module, name: str, arguments: Mapping[str, Any], size: tuple[int, ...] | None
) -> InputSpec:
    """As for a model passed as an object."""
    return guess_input(model, size)


def weights_origin(model: nn.Module, name: str, *, pretrained: bool) -> WeightsOrigin:
    """Only the factory knows."""
    return WeightsOrigin(kind="factory", name=name)


def _factory(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    if not {"", os.getcwd()} & set(sys.path):
        # `python -m` finds modules in the current directory; a console script does not.
        sys.path.insert(0, os.getcwd())
    try:
        factory = attrgetter(attribute)(importlib.import_module(module_name))
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"The factory {name!r} cannot be imported: {one_line(error)}",
            hint="Write package.module:factory, importable from the current directory.",
        ) from error
    if isinstance(factory, nn.Module) or not callable(factory):
        raise ModelError(f"{name!r} is a {type(factory).__name__}, not a function that makes a model.")
    found: Callable[..., Any] = factory
    return found


def _takes(factory: Callable[..., Any], argument: str) -> bool:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(p.kind is p.VAR_KEYWORD or p.name == argument for p in parameters)
