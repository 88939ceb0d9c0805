"""Comparing a state dict with a model's own: what fits, whether that is enough, and loading it.

Counters, scales and biases of one architecture fit many others, so they are not counted. Half of the model's
weights and half of the file's have to fit: elements of tensors with two or more dimensions. A classifier that
does not fit is not counted, since training often starts from a file for other classes, or for none.
"""

from __future__ import annotations

import dataclasses
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from attn_inject.errors import FileError, ModelError
from attn_inject.models.input_channels import with_input_channels
from attn_inject.models.library_errors import one_line, some
from attn_inject.models.state_dict import Selection, select, unprefixed
from attn_inject.models.weights_file import Weights
from attn_inject.weights import WeightsOrigin

ENOUGH = 0.5
_CLASSIFIER = re.compile(r"(^|\.)(classifier|fc|head\w*|last_linear|logits)\.")
_INSERTED = re.compile(r"(^|\.)attn_inject(_\d+)?\.")


@dataclass(frozen=True, kw_only=True)
class Match:
    """A state dict compared with a model's own.

    Attributes:
        fitting: The tensors whose name and shape the model has.
        missing: Names that only the model has.
        unexpected: Names that only the file has.
        reshaped: `NAME (file's shape) instead of (model's shape)`, for names that both have.
        share: Which part of the model's weights is in `fitting`, from 0 to 1.
        used: The same of the file's weights.
    """

    fitting: Mapping[str, Any]
    missing: Sequence[str]
    unexpected: Sequence[str]
    reshaped: Sequence[str]
    share: float
    used: float

    @property
    def total(self) -> int:
        """How many tensors the model has."""
        return len(self.fitting) + len(self.missing) + len(self.reshaped)

    def differences(self) -> list[str]:
        """How the two differ, in a few words each; empty if they agree."""
        facts = {
            "of another shape": self.reshaped,
            "not in it": self.missing,
            "unknown to the model": self.unexpected,
        }
        return [f"{len(names)} {fact}: {some(names)}" for fact, names in facts.items() if names]


def put_weights(weights: Weights, model: nn.Module, *, offer_classes: bool = True) -> tuple[str, ...]:
    """Copy what fits into `model`, unless that has no memory, and report what fits and what does not.

    Args:
        weights: What a file holds.
        model: The model, changed in place.
        offer_classes: Whether to say how to build the classifier of the file, if only that differs.

    Raises:
        ModelError: Too little fits, or the file holds attention modules that the model does not have.
        FileError: A tensor cannot be copied, or only with a loss.
    """
    own = model.state_dict()
    found = select(weights.leaves, own)
    match = compare(model, found.state)
    if not _is_enough(match):
        found = unprefixed(weights.leaves, own)
        match = compare(model, found.state)
    _refuse_inserted(weights.file, [name for name in match.unexpected if name not in own])
    state, converted = with_input_channels(found.state, model)
    if converted:
        match = compare(model, state)
    if not _is_enough(match):
        raise _other_architecture(weights.file, match)
    _refuse_lossy(weights.file, match.fitting, own)
    match = dataclasses.replace(match, unexpected=[*match.unexpected, *found.beside])
    is_real = not any(parameter.is_meta for parameter in model.parameters())
    if is_real:
        _copy(match, model, weights.file)
    notes = [*weights.notes, _told(weights, found, match, is_real=is_real)]
    if found.is_averaged and found.others:
        notes.append(f"{weights.name}: the averaged weights were taken; {_instead(found)}")
    elif found.others:
        notes.append(f"{weights.name}: {found.others[0]} fits as well; {_instead(found)}")
    notes += [f"{weights.name}: {converted}"] if converted else []
    notes += [line for line in [_classes(weights, match)] if line and offer_classes]
    return tuple(notes)


def weights_origin(weights: Weights, model: nn.Module) -> WeightsOrigin:
    """The file, its digest, and what of it a model takes."""
    taken = select(weights.leaves, model.state_dict())
    return WeightsOrigin(kind="file", name=weights.name, sha256=weights.sha256(), key=str(taken))


def _told(weights: Weights, found: Selection, match: Match, *, is_real: bool) -> str:
    verb = "loaded" if is_real else "would load"
    where = f" ({found})" if str(found) else ""
    counts = f"{verb} {len(match.fitting)} of {match.total} tensors from {weights.name}{where}"
    return "; ".join([counts, *match.differences()]) + "."


def _instead(found: Selection) -> str:
    return f"--weights-key {found.others[0]} takes that instead."


def _is_enough(match: Match) -> bool:
    return bool(match.fitting) and min(match.share, match.used) >= ENOUGH


def _classes(weights: Weights, match: Match) -> str:
    """If only the classifier has another number of classes, the option that builds it as in the file."""
    changed = [told.partition(" ")[0] for told in match.reshaped]
    heads = [name for name in changed if _CLASSIFIER.search(name)]
    weight = next((name for name in heads if name.endswith("weight")), "")
    if not weight or heads != changed:
        return ""
    classes = int(re.findall(r"\d+", match.reshaped[changed.index(weight)].partition(" ")[2])[0])
    return (
        f"{weights.name} has a classifier of {classes} classes, which was left out; "
        f"--num-classes {classes} loads it, too."
    )


def _refuse_lossy(file: str, fitting: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    for name, value in fitting.items():
        kept = own[name]
        if not (isinstance(value, torch.Tensor) and isinstance(kept, torch.Tensor)):
            continue
        if value.is_complex() and not kept.is_complex():
            raise FileError(
                f"{file!r} holds complex numbers: {name} is {value.dtype}, the model's is {kept.dtype}.",
                hint="Their imaginary part would be lost; save real tensors.",
            )
        if value.is_quantized and not kept.is_quantized:
            raise FileError(
                f"{file!r} holds quantized numbers: {name} is {value.dtype}, the model's is {kept.dtype}.",
                hint="Save the weights from before the quantization, or dequantize() them.",
            )


def compare(model: nn.Module, state: Mapping[str, Any]) -> Match:
    """Sort the entries of `state` by whether `model` has them; nothing is loaded."""
    own = model.state_dict()
    fitting, unexpected, reshaped = {}, [], []
    for name, value in state.items():
        if name not in own:
            unexpected.append(name)
        elif _shape(value) != _shape(own[name]):
            reshaped.append(f"{name} {_shape(value)} instead of {_shape(own[name])}")
        else:
            fitting[name] = value
    # Files older than torch 0.4.1 have no such counters, and torch itself accepts that.
    missing = [n for n in own if n not in state and not n.endswith("num_batches_tracked")]
    return Match(
        fitting=fitting,
        missing=missing,
        unexpected=unexpected,
        reshaped=reshaped,
        share=_share(own, fitting),
        used=_share(state, fitting),
    )


def _share(own: Mapping[str, Any], fitting: Mapping[str, Any]) -> float:
    """Which part of a state dict's weights fits, 1 if there are none; a classifier counts only if it fits."""
    sizes = {
        name: value.numel()
        for name, value in own.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim > 1
    }
    last = next(reversed(sizes), "")
    counted = [n for n in sizes if n in fitting or not (n == last or _CLASSIFIER.search(n))]
    total = sum(sizes[name] for name in counted)
    found = sum(sizes[name] for name in counted if name in fitting)
    return found / total if total else float(not sizes)


def _copy(match: Match, model: nn.Module, file: str) -> None:
    fitting = OrderedDict(match.fitting)
    # Some modules read their version there (MNASNet) and refuse a state dict without one.
    fitting._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    try:
        model.load_state_dict(fitting, strict=False)
    except RuntimeError as error:
        raise FileError(f"{file!r} cannot be copied into the model: {one_line(error)}") from error


def _other_architecture(file: str, match: Match) -> ModelError:
    return ModelError(
        f"{file!r} seems to be of another model: {len(match.fitting)} of {match.total} tensors fit, "
        f"which are {match.share:.0%} of the model's weights and {match.used:.0%} of the file's, and half of "
        f"both have to. {'; '.join(match.differences())}.",
        hint="Name the architecture that it was trained with. To load such a part nevertheless, load it in "
        "Python and pass the model itself.",
    )


def _refuse_inserted(file: str, unknown: Sequence[str]) -> None:
    inserted = [name for name in unknown if _INSERTED.search(name)]
    if inserted:
        raise ModelError(
            f"{file!r} holds {len(inserted)} tensors of attention modules that were inserted before, "
            f"{inserted[0]} for one, and this model has none.",
            hint="If attn-inject saved it, open the file as the model. A state dict of such a model belongs "
            "into the result of the same `inject`: result.model.load_state_dict(...).",
        )


def _shape(value: Any) -> tuple[int, ...] | str:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
