"""Build a model from a request, or the same architecture again from what a saved file says about it."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from attn_inject.errors import FileError, UsageError
from attn_inject.models import from_factory, from_timm, from_torchvision, names
from attn_inject.models.empty import build_empty, build_on_shapes, emptied
from attn_inject.models.loaded import LoadedModel, Provenance
from attn_inject.models.matching import put_weights, weights_origin
from attn_inject.models.timm_folder import is_folder_name, read_folder
from attn_inject.models.weights_file import read_weights
from attn_inject.request import ModelRequest
from attn_inject.trust import GivenName, require_trust

_SOURCES: dict[str, Any] = {
    "timm": from_timm,
    "torchvision": from_torchvision,
    "factory": from_factory,
}


def load(request: ModelRequest, *, empty: bool = False, shapes_only: bool = False) -> LoadedModel:
    """Build the model that `request` describes, in eval mode.

    Args:
        request: Name, weights, and arguments of the architecture.
        empty: Leave all parameters on the meta device; buffers are real. Published weights are not
            fetched then, and a file of weights is only compared; `has_weights` is as without `empty`.
        shapes_only: As `empty`, and leave buffers on meta too: enough to find blocks and to count.

    Raises:
        UnknownNameError: No such model or tag.
        UsageError: The request contradicts itself, or asks for something that no model of this source has.
        ModelError: The architecture refuses the request, or published weights could not be had.
        FileError: The weights are unreadable, untrusted or of another model.
    """
    _check(request)
    offered = request.num_classes is None
    folder = read_folder(request.name) if is_folder_name(request.name) else None
    request = folder.asked(request) if folder else request
    found = names.resolve(request.name)
    source = _SOURCES[found.source]
    _check_arguments(found.source, dict(request.model_args))
    arguments = source.builder_arguments(found.name, request)
    weights = read_weights(request.weights, request.weights_key) if request.weights is not None else None
    published = request.pretrained and folder is None
    name = source.published(found.name, arguments) if published else found.name
    more = {"config": folder.config} if folder else {}
    model = _build(
        found.source,
        name,
        arguments,
        empty=empty,
        shapes_only=shapes_only,
        pretrained=request.pretrained,
        **more,
    )
    notes = [found.note] if found.note else []
    if weights is not None:
        origin = weights_origin(weights, model)
        notes += put_weights(weights, model, offer_classes=offered)
    elif folder and request.pretrained:
        origin = folder.weights
    else:
        origin = source.weights_origin(model, name, pretrained=request.pretrained)
    inputs = source.input_spec(model, name, arguments, request.input_size)
    provenance = Provenance(
        source=found.source,
        name=name,
        arguments=arguments,
        input_size=inputs.size or request.input_size,
        weights=origin,
    )
    return LoadedModel(
        model=model,
        inputs=inputs,
        provenance=provenance,
        has_weights=request.pretrained or weights is not None,
        notes=tuple(notes),
    )


def rebuild(
    provenance: Provenance, *, empty: bool = True, trust: bool = False, where: str = "The saved file"
) -> LoadedModel:
    """Build the architecture that `provenance` describes, in eval mode and without trained weights.

    Args:
        provenance: As a saved file holds it; everything in it is checked.
        empty: Leave all parameters on the meta device; buffers are real.
        trust: Whether code may run that the file names.
        where: The file, as the user calls it.

    Raises:
        FileError: The model was an object, or comes from a factory and is not trusted, or the file asks
            for more than an architecture.
        UnknownNameError: The installed library has no such model.
        ModelError: The architecture cannot be built.
    """
    source = _SOURCES.get(provenance.source)
    if source is None:
        raise _not_rebuildable(provenance)
    if provenance.source == "factory":
        require_trust([GivenName(provenance.name, where, "factory")], trust=trust)
    arguments = dict(provenance.arguments)
    reserved = source.RESERVED & arguments.keys()
    if reserved:
        raise FileError(f"The file asks for {_listed(reserved)}, which no architecture needs; it is refused.")
    name = provenance.name
    if provenance.source != "factory":
        name = names.resolve(f"{provenance.source}/{name}").name
    model = _build(provenance.source, name, arguments, empty=empty)
    inputs = source.input_spec(model, name, arguments, provenance.input_size)
    return LoadedModel(model=model, inputs=inputs, provenance=provenance)


def _build(
    source: str,
    name: str,
    arguments: dict[str, Any],
    *,
    empty: bool,
    shapes_only: bool = False,
    pretrained: bool = False,
    **more: Any,
) -> nn.Module:
    build = functools.partial(_SOURCES[source].build, **more)
    if not (empty or shapes_only):
        model: nn.Module = build(name, arguments, pretrained=pretrained)
    elif source == "factory":
        # A user's own factory is called once and without patches: it may keep the model that it made.
        model = emptied(build(name, arguments))
    else:
        model = (build_on_shapes if shapes_only else build_empty)(lambda: build(name, arguments))
    return model.eval()


def _check(request: ModelRequest) -> None:
    if request.pretrained and request.weights is not None:
        raise UsageError(
            "pretrained and weights (--pretrained, --weights) exclude each other.", hint="Keep one of them."
        )
    if request.weights_key and request.weights is None:
        raise UsageError(
            "weights_key (--weights-key) says where in a file of weights to look, and none is named.",
            hint="Add weights (--weights FILE).",
        )
    if request.num_classes is not None and request.num_classes < 0:
        raise UsageError(f"A model cannot have {request.num_classes} classes.", hint="Give 0 or more.")
    size = request.input_size
    if size is not None and (len(size) not in (3, 4) or min(size) < 1):
        raise UsageError(
            f"{','.join(map(str, size))} is not an input size.",
            hint="Write channels,height,width in pixels, for example 3,224,224.",
        )


def _check_arguments(source: str, arguments: dict[str, Any]) -> None:
    reserved = _SOURCES[source].RESERVED & arguments.keys()
    if reserved:
        raise UsageError(
            f"{_listed(reserved)} cannot be a model argument.",
            hint="Ask for weights with pretrained (--pretrained) or weights (--weights FILE).",
        )


def _not_rebuildable(provenance: Provenance) -> FileError:
    if provenance.source == "object":
        return FileError(
            f"The model, a {provenance.name}, was passed as an object and cannot be built from a name.",
            hint="Build it yourself and pass it as base=.",
        )
    return FileError(
        f"The file names {provenance.source!r} as the source of its model, which is unknown.",
        hint=f"The known sources are {', '.join(_SOURCES)}; perhaps a newer version wrote the file.",
    )


def _listed(arguments: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(arguments))
