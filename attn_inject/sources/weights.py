"""Read a state dict from a file and put it into a model, as far as it fits.

Only torch's `weights_only` reader and safetensors touch a file, so that nothing in it can run.
"""

from __future__ import annotations

import argparse
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attn_inject.errors import FileError
from attn_inject.sources.refusal import one_line

# Where training scripts put the state dict; averaged weights first, as timm's own loader prefers them.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state", "model", "module")
_DEEPEST = 3
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Match:
    """A state dict beside a model's own.

    Attributes:
        fitting: The tensors whose name and shape the model has.
        missing: Names that only the model has.
        unexpected: Names that only the file has.
        reshaped: `NAME (file's shape) instead of (model's shape)`, for names that both have.
    """

    fitting: Mapping[str, Any]
    missing: Sequence[str]
    unexpected: Sequence[str]
    reshaped: Sequence[str]

    def notes(self, what: str) -> tuple[str, ...]:
        """One sentence for each way in which `what` did not match."""
        facts = {
            "of another shape left out": self.reshaped,
            "of the model not in the file": self.missing,
            "unknown to the model left out": self.unexpected,
        }
        return tuple(
            f"{what}: {len(names)} {'tensor' if len(names) == 1 else 'tensors'} {fact}: {_some(names)}."
            for fact, names in facts.items()
            if names
        )


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A state dict from a file.

    Attributes:
        file: Where it is from.
        state: Name to tensor, without any wrapper.
        wrapper: The key it was found under, or an empty text.
    """

    file: str
    state: Mapping[str, Any]
    wrapper: str = ""


def read_weights(file: str) -> Weights:
    """The state dict in a file, memory-mapped where the format allows it.

    Raises:
        FileError: The file is missing, truncated or foreign, or it would run code.
    """
    state, wrapper = _unwrapped(_read(Path(file)), file)
    return Weights(file=file, state=state, wrapper=wrapper)


def put_weights(weights: Weights, model: nn.Module) -> tuple[str, ...]:
    """Copy what fits into `model`, unless that has no memory, and say what did not match.

    Raises:
        FileError: Nothing fits.
    """
    name = Path(weights.file).name
    match = compare(model, _renamed(weights.state, model.state_dict().keys()))
    if not match.fitting:
        raise FileError(
            f"No tensor of {weights.file!r} fits the model. {' '.join(match.notes(name))}",
            hint="It seems to be another architecture's.",
        )
    if not any(parameter.is_meta for parameter in model.parameters()):
        try:
            fitting = OrderedDict(match.fitting)
            # Some modules look up their version there (MNASNet) and refuse a state dict without.
            fitting._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
            model.load_state_dict(fitting, strict=False)
        except RuntimeError as error:
            raise FileError(f"{weights.file!r} cannot be copied into the model: {one_line(error)}") from error
    averaged = "ema" in weights.wrapper
    taken = (f"{name}: the averaged weights, {weights.wrapper!r}, were taken.",) if averaged else ()
    return taken + match.notes(name)


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
    # Files older than torch 0.4.1 have no such counters, and torch itself does not miss them.
    missing = [n for n in own if n not in state and not n.endswith("num_batches_tracked")]
    return Match(fitting=fitting, missing=missing, unexpected=unexpected, reshaped=reshaped)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileError(
            f"There is no file {str(path)!r}.", hint="--weights takes a .pt, .pth or .safetensors file."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with _harmless(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> FileError:
    foreign = _foreign_objects(path)
    if foreign:
        return FileError(
            f"{str(path)!r} was refused: reading it would run {_some(foreign)}. Nothing was run.",
            hint="Save the model's state dict instead of the model: torch.save(model.state_dict(), FILE).",
        )
    return FileError(
        f"{str(path)!r} cannot be read as weights; it is damaged, or something else: {one_line(error)}",
        hint="--weights takes a state dict in a .pt, .pth or .safetensors file.",
    )


def _harmless() -> AbstractContextManager[Any]:
    """Beside what torch allows anyway: timm's training script keeps its options with the weights.

    Reading an `argparse.Namespace` sets attributes and calls nothing.
    """
    allowed: AbstractContextManager[Any] = torch.serialization.safe_globals([argparse.Namespace])
    return allowed


def _foreign_objects(path: Path) -> list[str]:
    """The functions and classes that a torch file asks for and that may not be run; torch only reads them."""
    try:
        with _harmless():
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:
        return []


def _unwrapped(content: Any, file: str) -> tuple[Mapping[str, Any], str]:
    """The state dict inside what a file holds, and the last key it was found under."""
    wrapper, content = "", content if isinstance(content, Mapping) else {}
    for _ in range(_DEEPEST):
        found = [key for key in _WRAPPERS if isinstance(content.get(key), Mapping)]
        if found:
            wrapper, content = found[0], content[found[0]]
    tensors = [value for value in content.values() if isinstance(value, torch.Tensor)]
    if not tensors:
        raise FileError(f"{file!r} holds no state dict.", hint=f"Looked under {', '.join(_WRAPPERS)}, too.")
    if any(tensor.is_meta for tensor in tensors):
        raise FileError(f"{file!r} holds shapes without values.", hint="It was saved from a model on meta.")
    return content, wrapper


def _renamed(state: Mapping[str, Any], own: Any) -> dict[str, Any]:
    """Undo the prefixes of DataParallel (`module.`) and torch.compile (`_orig_mod.`)."""
    return {_plain(str(name), own): value for name, value in state.items()}


def _plain(name: str, own: Any) -> str:
    if name in own:
        return name
    plain = name.replace("_orig_mod.", "")
    while plain not in own and plain.startswith("module."):
        plain = plain.removeprefix("module.")
    return plain


def _shape(value: Any) -> tuple[int, ...] | str:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
