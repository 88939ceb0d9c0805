"""Models of torchvision, by name or by name and weights (`resnet50`, `resnet50.IMAGENET1K_V2`).

The weights belong to the name because they change the architecture: with published weights, detection models
freeze their batch norms and set their eps to 0, segmentation models gain an auxiliary head, GoogLeNet loses
two, a ViT gets another image size. So `NAME.WEIGHTS` means the architecture that the builder makes for these
weights, with or without their values, like a timm name with its tag.
"""

from __future__ import annotations

import fnmatch
import inspect
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from attn_inject.errors import ModelError
from attn_inject.models.inputs import InputSpec
from attn_inject.models.library_errors import library, refused
from attn_inject.models.matching import compare
from attn_inject.models.thread_patch import replaced_here
from attn_inject.models.torchvision_inputs import InputKind, kind_of
from attn_inject.request import ModelRequest
from attn_inject.weights import WeightsOrigin

RESERVED = frozenset(["weights", "weights_backbone", "pretrained", "pretrained_backbone", "progress"])


def names(glob: str = "*") -> list[str]:
    """The architectures that a glob matches; with weights if the glob has a dot."""
    models = library("torchvision").models
    if "." not in glob:
        found: list[str] = models.list_models(include=glob)
        return found
    architectures = models.list_models(include=glob.partition(".")[0])
    return [tag for architecture in architectures for tag in fnmatch.filter(tags(architecture), glob)]


def resolve(text: str) -> str | None:
    """torchvision's name for `text`, or None; `detection/NAME` means `NAME`."""
    folder, _, rest = text.rpartition("/")
    architecture, dot, _ = rest.partition(".")
    prefix = "quantized_" if folder == "quantization" and not rest.startswith("quantized_") else ""
    name, architecture = prefix + rest, prefix + architecture
    if architecture not in names() or (dot and name not in tags(architecture)):
        return None
    module = _builder(architecture).__module__
    return name if not folder or module.startswith(f"torchvision.models.{folder}.") else None


def tags(architecture: str) -> list[str]:
    """`ARCHITECTURE.WEIGHTS` for all published weights; none for an unknown architecture."""
    if architecture not in names():
        return []
    return [f"{architecture}.{member.name}" for enum in _weight_enums(architecture) for member in enum]


def builder_arguments(name: str, request: ModelRequest) -> dict[str, Any]:
    """The request as arguments of the builder, JSON values.

    Raises:
        ModelError: The model does not accept the input size.
    """
    arguments = dict(request.model_args)
    if request.num_classes is not None:
        arguments["num_classes"] = request.num_classes
    size, kind = request.input_size, _kind(name)
    if size is not None:
        if len(size) != len(kind.size) or size[0] != kind.size[0]:
            raise ModelError(
                f"torchvision/{name} takes inputs like {kind.size}, not {size}.",
                hint="The sizes are channels, then frames for videos, then height and width in pixels.",
            )
        arguments = {**kind.arguments(size), **arguments}
    return arguments


def build(name: str, arguments: dict[str, Any], *, pretrained: bool = False) -> nn.Module:
    """Make the model that the builder makes for the weights in `name`, with their values if `pretrained`.

    Raises:
        ModelError: The architecture refuses an argument, or the weights could not be loaded.
    """
    builder = _builder(name)
    keywords = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    keywords["weights"] = name.partition(".")[2] or None
    if "weights_backbone" in inspect.signature(builder).parameters:
        keywords["weights_backbone"] = None
    try:
        with warnings.catch_warnings(), _weights_that_fit(arguments.get("num_classes"), read=pretrained):
            # GoogLeNet and Inception announce another default initialisation in a future release.
            warnings.simplefilter("ignore", FutureWarning)
            model: nn.Module = builder(**keywords)
    except Exception as error:
        raise refused(f"torchvision/{name}", arguments, error, pretrained=pretrained) from error
    return model


def published(name: str, arguments: Mapping[str, Any]) -> str:
    """The name with its weights: the named ones, else torchvision's default.

    Raises:
        ModelError: No weights are published for the architecture.
    """
    if "." in name:
        return name
    # Quantisable models have two sets of weights, and the builder takes them by this argument.
    quantized = bool(arguments.get("quantize", False))
    for enum in _weight_enums(name):
        if ("Quantized" in enum.__name__) == quantized and "DEFAULT" in enum.__members__:
            return f"{name}.{enum['DEFAULT'].name}"
    raise ModelError(
        f"torchvision publishes no weights for {name!r}.",
        hint="Leave out pretrained (--pretrained), or pass your own weights (--weights FILE).",
    )


def input_spec(
    model: nn.Module, name: str, arguments: Mapping[str, Any], size: tuple[int, ...] | None
) -> InputSpec:
    """The input of the model's kind, of the requested size, else of the model's own."""
    return _kind(name).spec(size or own_size(model, _kind(name)))


def weights_origin(model: nn.Module, name: str, *, pretrained: bool) -> WeightsOrigin:
    """The weights that torchvision publishes under `name`, or random ones."""
    return WeightsOrigin(kind="torchvision", name=name) if pretrained else WeightsOrigin(kind="random")


def own_size(model: nn.Module, kind: InputKind) -> tuple[int, ...]:
    """The kind's size, or the size that a ViT was built for."""
    side = getattr(model, "image_size", None)
    return (kind.size[0], side, side) if isinstance(side, int) else kind.size


def _kind(name: str) -> InputKind:
    module = _builder(name).__module__
    return kind_of(module) or InputKind()


def _builder(name: str) -> Callable[..., nn.Module]:
    architecture = name.partition(".")[0]
    builder: Callable[..., nn.Module] = library("torchvision").models.get_model_builder(architecture)
    return builder


def _weight_enums(name: str) -> list[Any]:
    hint = inspect.signature(_builder(name)).parameters["weights"].annotation
    return [kind for kind in (hint, *typing.get_args(hint)) if hasattr(kind, "__members__")]


@contextmanager
def _weights_that_fit(num_classes: int | None, *, read: bool) -> Iterator[None]:
    """Let builders make the architecture of their weights with another classifier, or without reading them.

    torchvision's builders refuse a `num_classes` other than that of the weights, and load strictly. Within
    the context the weights report `num_classes` classes, only tensors that fit are loaded, and with `read`
    off none is downloaded.
    """
    weights = library("torchvision").models.WeightsEnum
    load = nn.Module.load_state_dict

    def meta_with_classes(self: Any) -> Any:
        classes = {} if num_classes is None else {"categories": [""] * num_classes}
        return {**self.value.meta, **classes}

    def load_fitting(self: nn.Module, state: Mapping[str, Any], **_: Any) -> None:
        load(self, compare(self, state).fitting, strict=False)

    with ExitStack() as replaced:
        for owner, name, value in (
            (weights, "meta", property(meta_with_classes)),
            (nn.Module, "load_state_dict", load_fitting),
            (weights, "get_state_dict", vars(weights)["get_state_dict"] if read else lambda self, **_: {}),
        ):
            replaced.enter_context(replaced_here(owner, name, value))
        yield
