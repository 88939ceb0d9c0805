"""Models of timm, by name or by name and tag (`resnet50`, `resnet50.a1_in1k`)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from torch import nn

from attn_inject.errors import ModelError, UsageError
from attn_inject.models.inputs import InputSpec
from attn_inject.models.library_errors import library, refused
from attn_inject.models.network import hub, without_retries
from attn_inject.request import ModelRequest
from attn_inject.weights import WeightsOrigin

RESERVED = frozenset(
    ["pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "model_name"]
)


def names(glob: str = "*") -> list[str]:
    """The architectures that a glob matches, without deprecated names; with tags if the glob has a dot."""
    found: list[str] = library("timm").list_models(glob, include_tags="." in glob)
    return [name for name in found if not _is_modified(name)]


def resolve(text: str) -> str | None:
    """timm's name for `text`, with its tag and with a deprecated name replaced, or None.

    Raises:
        UsageError: It is a modified architecture, which no saved file could build again from timm alone.
    """
    timm = library("timm")
    renewed = timm.models.get_deprecated_models().get(text, text)
    if renewed is None:
        return None
    architecture, dot, _ = renewed.partition(".")
    if timm.is_model(architecture) and _is_modified(architecture):
        raise UsageError(
            f"{text!r} is a modified architecture that attn_inject.timm registered.",
            hint=f"Name its base, or pass the model itself, timm.create_model({text!r}).",
        )
    known = renewed in tags(architecture) if dot else timm.is_model(architecture)
    return renewed if known else None


def tags(architecture: str) -> list[str]:
    """`ARCHITECTURE.TAG` for every tag; none for an unknown architecture."""
    return [name for name in names(f"{architecture}.*") if name.partition(".")[0] == architecture]


def builder_arguments(name: str, request: ModelRequest) -> dict[str, Any]:
    """The request as arguments of `timm.create_model`, JSON values."""
    arguments = dict(request.model_args)
    if request.num_classes is not None:
        arguments["num_classes"] = request.num_classes
    if request.input_size is not None:
        channels, *image = request.input_size
        own_channels, *own_image = _configured_size(name)
        if channels != own_channels:
            arguments.setdefault("in_chans", channels)
        if image != own_image and getattr(_config(name), "fixed_input_size", False):
            arguments.setdefault("img_size", image)
    return arguments


def build(
    name: str,
    arguments: dict[str, Any],
    *,
    pretrained: bool = False,
    config: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Make the model, with timm's published weights if asked.

    Args:
        name: timm's name.
        arguments: Of its constructor.
        pretrained: Whether to load weights.
        config: timm's configuration of weights that are elsewhere.

    Raises:
        ModelError: The architecture refuses an argument, or the weights could not be loaded.
    """
    timm = library("timm")
    keywords = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    weights = {} if config is None else {"pretrained_cfg": dict(config)}
    try:
        with without_retries(hub()) if pretrained else nullcontext():
            model: nn.Module = timm.create_model(name, pretrained=pretrained, **weights, **keywords)
    except Exception as error:
        raise refused(f"timm/{name}", arguments, error, pretrained=pretrained) from error
    return model


def published(name: str, arguments: Mapping[str, Any]) -> str:
    """The name whose weights timm publishes, which is `name`.

    Raises:
        ModelError: No weights are published for it.
    """
    if library("timm").is_model_pretrained(name):
        return name
    raise ModelError(
        f"timm publishes no weights for {name!r}.",
        hint="Leave out pretrained (--pretrained), or pass your own weights (--weights FILE).",
    )


def input_spec(
    model: nn.Module, name: str, arguments: Mapping[str, Any], size: tuple[int, ...] | None
) -> InputSpec:
    """One image of the requested size, else of the size that the arguments or the tag set."""
    if size is None:
        channels, *image = _configured_size(name)
        channels = arguments.get("in_chans", channels)
        given = arguments.get("img_size", image)
        image = [given, given] if isinstance(given, int) else list(given)
        size = (channels, *image)
    return InputSpec(size=size)


def weights_origin(model: nn.Module, name: str, *, pretrained: bool) -> WeightsOrigin:
    """The tag whose weights timm publishes, or random ones."""
    if not pretrained:
        return WeightsOrigin(kind="random")
    config = getattr(model, "pretrained_cfg", {})
    tag = f"{config.get('architecture', name)}.{config['tag']}" if config.get("tag") else name
    return WeightsOrigin(kind="timm", name=tag)


def _is_modified(name: str) -> bool:
    module: str = library("timm").models.model_entrypoint(name).__module__
    return module.startswith("attn_inject.")


def _config(name: str) -> Any:
    return library("timm").get_pretrained_cfg(name)


def _configured_size(name: str) -> tuple[int, ...]:
    return tuple(getattr(_config(name), "input_size", (3, 224, 224)))
