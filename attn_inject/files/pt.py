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
        path: The target; tensors stay where they are, and are written from the CPU.
        contents: What to write. Equal contents give equal bytes.
        force: Whether an existing file may be replaced.
        before_publishing: Given the complete file before it gets its name; see `atomic_write`.

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
    """Read a modified model; nothing in the file is run, and nothing in it is believed unchecked.

    Args:
        path: The file.
        mmap: Whether tensors stay in the file until they are used. Writing to them changes memory only,
            but the process dies if another program cuts the file short while they are in use.

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
    except Exception as error:  # torch raises whatever broken data leads it to
        raise damaged(file, error) from error
    contents = from_payload(payload, str(path))
    check_tensors((contents.tensors, contents.reference), sizes, str(path))
    return contents
