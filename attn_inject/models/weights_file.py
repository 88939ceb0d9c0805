"""Read a state dict from a file.

Only torch's `weights_only` reader and safetensors touch a file, so that no code in it can run.
"""

from __future__ import annotations

import argparse
import re
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attn_inject.errors import FileError, ModelError
from attn_inject.models.library_errors import some

# Where training scripts put the state dict; averaged weights first, as timm's own loader prefers them.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state", "model", "module")
_DEEPEST = 3
_TAKES = "A file of weights (--weights FILE) is a state dict in .pt, .pth or .safetensors."
# How torch's two formats begin: an archive, a pickle of its magic number.
_BEGINNINGS = (b"PK\x03\x04", b"\x80\x02\x8a\n")
# torch's message for the older format, which cannot be inspected beforehand.
_REFUSED = re.compile(r"[Uu]nsupported (?:global: )?GLOBAL ([\w.]*\w)")


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
    """The state dict in a file, memory-mapped if the format allows it.

    Raises:
        FileError: The file is missing, truncated or foreign, or it would run code.
        ModelError: It is a modified model that was saved here.
    """
    content = _read(Path(file))
    if isinstance(content, Mapping) and content.get("format") == "attn-inject":
        raise ModelError(
            f"{file!r} was saved by attn-inject: it is a whole model with its attention modules.",
            hint=f"Open it as the model, without weights (--weights): attn-inject {file} --attn NAME.",
        )
    state, wrapper = _unwrapped(content, file)
    return Weights(file=file, state=state, wrapper=wrapper)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileError(f"There is no file {str(path)!r}.", hint=_TAKES)
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
    if isinstance(error, PermissionError):
        return FileError(f"{str(path)!r} cannot be read: {error.strerror}.", hint="Check its permissions.")
    foreign = _foreign_objects(path) or _REFUSED.findall(str(error))
    if foreign:
        return FileError(
            f"{str(path)!r} was refused: reading it would run {some(foreign)}. Nothing was run.",
            hint="Save the model's state dict instead of the model: torch.save(model.state_dict(), FILE).",
        )
    with path.open("rb") as file:
        beginning = file.read(4)
    if beginning in _BEGINNINGS:
        return FileError(f"{str(path)!r} is cut short or damaged.", hint="Copy or download it again.")
    if beginning and path.suffix == ".safetensors":
        return FileError(
            f"{str(path)!r} is cut short or damaged, or not a safetensors file.",
            hint="Copy or download it again.",
        )
    return FileError(f"{str(path)!r} is {'not a file of weights' if beginning else 'empty'}.", hint=_TAKES)


def _harmless() -> AbstractContextManager[Any]:
    """In addition to what torch allows: timm's training script saves its options with the weights.

    Reading an `argparse.Namespace` sets attributes and calls nothing.
    """
    allowed: AbstractContextManager[Any] = torch.serialization.safe_globals([argparse.Namespace])
    return allowed


def _foreign_objects(path: Path) -> list[str]:
    """The functions and classes that a torch file names and that may not be run; torch only reads them."""
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
