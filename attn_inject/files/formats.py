"""The file formats: chosen by suffix for writing, recognised by the first bytes for reading."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attn_inject.errors import FileError, UsageError
from attn_inject.files import pt, safetensors
from attn_inject.files.archive import MAGIC
from attn_inject.files.contents import Contents
from attn_inject.files.hub_folder import MODEL, is_hub_folder
from attn_inject.files.reading import reading
from attn_inject.models.remote import fetched

SUFFIXES = (".pt", ".safetensors")
_WRITTEN = (*SUFFIXES, ".pth", ".bin", ".ckpt", "")
_EXPORTED = (".pt2", ".onnx")
_REPOSITORY = "hf-hub:"

_Path = str | os.PathLike[str]


def check_suffix(path: _Path) -> None:
    """Refuse the suffix of a format that only `export` writes, or of one that is not known.

    Raises:
        UsageError: It is one of those.
    """
    if str(path).endswith(_EXPORTED):
        raise UsageError(
            f"{path} cannot hold the edits of the model.",
            hint=f"Save a .pt or .safetensors file, then: attn-inject export FILE --out {path}",
        )
    if Path(path).suffix.lower() not in _WRITTEN:
        raise UsageError(
            f"{path} has the suffix {Path(path).suffix}, which names no format that is written here.",
            hint=f"Write --out {Path(path).with_suffix('.pt')} or {Path(path).with_suffix('.safetensors')}.",
        )


def write(
    path: _Path,
    contents: Contents,
    *,
    force: bool = False,
    before_publishing: Callable[[Path], None] | None = None,
) -> None:
    """Write a modified model: `.safetensors` by that suffix, else `.pt`; see `pt.write`."""
    check_suffix(path)
    writer = safetensors if str(path).endswith(".safetensors") else pt
    writer.write(path, contents, force=force, before_publishing=before_publishing)


def write_state(path: _Path, state: Mapping[str, Any], *, force: bool = False) -> None:
    """Write a plain state dict, for any program; see `pt.write`."""
    check_suffix(path)
    writer = safetensors if str(path).endswith(".safetensors") else pt
    writer.write_state(path, state, force=force)


def located(path: _Path) -> _Path:
    """The file with the tensors: that of a folder or repository (`hf-hub:ORG/NAME`), else the path itself.

    Raises:
        FileError: The repository cannot be fetched.
    """
    if is_hub_folder(path):
        return Path(path) / MODEL
    text = os.fspath(path)
    return fetched(text) if text.startswith(_REPOSITORY) else path


def read(path: _Path, *, mmap: bool = True) -> Contents:
    """Read a modified model of either format, or the folder or repository that holds it; see `pt.read`."""
    path = located(path)
    with reading(path) as file:
        first = file.read(9)
    named = str(path).endswith(".safetensors")
    if named and first.startswith(MAGIC):  # torch.load would go by the suffix
        raise FileError(f"{path} is a .pt file by its content.", hint="Rename it.")
    if named or first[8:] == b"{":
        return safetensors.read(path, mmap=mmap)
    return pt.read(path, mmap=mmap)
