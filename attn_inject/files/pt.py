"""The `.pt` format: one `torch.save` of plain data, open to `torch.load(weights_only=True)`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from attn_inject.files.archive import check_archive, damaged
from attn_inject.files.atomic import atomic_write
from attn_inject.files.contents import Contents, from_payload, to_payload
from attn_inject.files.reading import reading, unreadable
from attn_inject.files.tensors import check_tensors, storable


def write(
    path: str | os.PathLike[str],
    contents: Contents,
    *,
    force: bool = False,
    before_publishing: Callable[[Path], None] | None = None,
) -> None:
    """Write a modified model; a kill at any moment leaves the old file or the new one.

    Args:
        path: The target.
        contents: What to write. Equal contents give equal bytes.
        force: Whether an existing file may be replaced.
        before_publishing: Called with the complete file before it is renamed; see `atomic_write`.

    Raises:
        FileError: The target cannot be written, or something cannot be kept in a file.
    """
    payload = to_payload(contents)
    with atomic_write(path, force=force, before_publishing=before_publishing) as file:
        torch.save(payload, file)


def write_state(path: str | os.PathLike[str], state: Mapping[str, Any], *, force: bool = False) -> None:
    """Write a plain state dict; errors as those of `write`."""
    kept = storable(state)
    with atomic_write(path, force=force) as file:
        torch.save(kept, file)


def read(path: str | os.PathLike[str], *, mmap: bool = True) -> Contents:
    """Read a modified model; no code in the file is run, and everything in it is checked.

    Args:
        path: The file.
        mmap: Whether tensors stay in the file until they are used. Writing to them changes memory only,
            but the process dies if another program truncates the file while they are in use.

    Raises:
        FileError: The file is missing, unreadable, damaged, foreign, newer than this program, or its
            pickle would run code.
    """
    file = Path(path)
    with reading(path):
        sizes = check_archive(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            payload = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # torch raises anything for broken data
        raise damaged(file, error) from error
    contents = from_payload(payload, str(path))
    check_tensors((contents.tensors, contents.reference), sizes, str(path))
    return contents
