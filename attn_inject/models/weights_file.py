"""Read a checkpoint from a file, by its content and not by its suffix.

Only torch's `weights_only` reader and safetensors touch a file, so that no code in it can run.
"""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attn_inject.errors import FileError, ModelError
from attn_inject.models import foreign_files, harmless, remote
from attn_inject.models.library_errors import some
from attn_inject.models.state_dict import Leaf, flattened, keys_of, under
from attn_inject.weights import is_address

_TAKES = "A file of weights (--weights FILE) is a state dict in .pt, .pth or .safetensors."
# How torch's two formats begin: an archive, a pickle of its magic number.
_BEGINNINGS = (b"PK\x03\x04", b"\x80\x02\x8a\n")
_AS_STATE = "Save the model's state dict instead of the model: torch.save(model.state_dict(), FILE)."
# torch's message for the older format, which cannot be inspected beforehand.
_REFUSED = re.compile(r"[Uu]nsupported (?:global: )?GLOBAL ([\w.]*\w)")
_MOST_NAMES = 64  # of harmless globals, learned one by one from the older format


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What a file of weights holds.

    Attributes:
        file: Where it is from, as the user calls it: a path or an address.
        path: Where it is on this machine.
        leaves: Its values by their dotted names.
        notes: Sentences for people.
    """

    file: str
    path: Path
    leaves: Mapping[str, Leaf]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name

    def sha256(self) -> str:
        """The digest of the whole file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(file: str, key: str | None = None) -> Weights:
    """The values in a file, memory-mapped if the format allows it.

    Args:
        file: A path, or an address that `remote.fetched` knows.
        key: Where the state dict stands: a key, or the beginning of the names; None for anywhere.

    Raises:
        FileError: The file is missing, truncated or foreign, it would run code, or has no such key.
        ModelError: It is a modified model that was saved here.
    """
    path = remote.fetched(file) if is_address(file) else Path(file)
    content, notes = _read(path)
    if isinstance(content, Mapping) and content.get("format") == "attn-inject":
        raise ModelError(
            f"{file!r} was saved by attn-inject: it is a whole model with its attention modules.",
            hint=f"Open it as the model, without weights (--weights): attn-inject {file} --attn NAME.",
        )
    leaves = flattened(content)
    tensors = [leaf.value for leaf in leaves.values() if isinstance(leaf.value, torch.Tensor)]
    if not tensors:
        raise _without_tensors(file, content)
    if any(tensor.is_meta for tensor in tensors):
        raise FileError(f"{file!r} holds shapes without values.", hint="It was saved from a model on meta.")
    if key:
        leaves, known = under(leaves, key), keys_of(leaves)
        if not leaves:
            raise FileError(
                f"{file!r} has no tensors under {key!r}.",
                hint=f"They are under {some(known)}." if known else "They are not under any key.",
            )
    return Weights(file=file, path=path, leaves=leaves, notes=notes)


def _read(path: Path) -> tuple[Any, tuple[str, ...]]:
    """The content of a file, and what its suffix says wrongly."""
    if not path.is_file():
        folder = " It is a folder." if path.is_dir() else ""
        raise FileError(f"There is no file {str(path)!r}.{folder}", hint=_TAKES)
    try:
        with path.open("rb") as file:
            beginning = file.read(9)
        if beginning[8:] == b"{":
            from safetensors.torch import load_file

            content: Any = load_file(path)
            return content, () if path.suffix == ".safetensors" else (f"{path.name} is a safetensors file.",)
        wrong = path.suffix == ".safetensors" and beginning.startswith(_BEGINNINGS)
        note = f"{path.name} is a file of torch by its content, not of safetensors."
        return _read_torch(path), (note,) if wrong else ()
    except Exception as error:
        raise _unreadable(path, error) from error


def _read_torch(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        names = _foreign_objects(path)
        with _only(names), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            if path.suffix == ".safetensors":  # torch.load would go by the suffix
                with path.open("rb") as file:
                    return torch.load(file, map_location="cpu", weights_only=True)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    names = []
    while True:
        try:
            with _only(names), warnings.catch_warnings(), path.open("rb") as file:
                warnings.simplefilter("ignore", UserWarning)
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            refused = [name for name in _REFUSED.findall(str(error)) if name not in names]
            if len(names) > _MOST_NAMES or not any(map(harmless.is_harmless, refused)):
                raise
            names += refused


def _only(names: list[str]) -> Any:
    """In addition to what torch allows: the harmless ones of these names."""
    return torch.serialization.safe_globals(harmless.substitutes(names))


def _foreign_objects(path: Path) -> list[str]:
    """The functions and classes that a torch file names beyond torch's own; torch only reads them."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:
        return []


def _unreadable(path: Path, error: Exception) -> FileError:
    if isinstance(error, PermissionError):
        return FileError(f"{str(path)!r} cannot be read: {error.strerror}.", hint="Check its permissions.")
    what, remedy = foreign_files.described(path)
    if what:
        return FileError(f"{str(path)!r} is {what}.", hint=remedy)
    named = _foreign_objects(path) or _REFUSED.findall(str(error))
    foreign = [name for name in named if not harmless.is_harmless(name)]
    if foreign:
        return FileError(
            f"{str(path)!r} was refused: reading it would run {some(foreign)}. Nothing was run.",
            hint=_AS_STATE,
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


def _without_tensors(file: str, content: Any) -> FileError:
    if isinstance(content, Mapping):
        holds = some([repr(key) for key in content]) or "nothing"
        return FileError(f"{file!r} holds no state dict, only {holds}.", hint=_TAKES)
    return FileError(f"{file!r} holds no state dict, but a {type(content).__name__}.", hint=_TAKES)
