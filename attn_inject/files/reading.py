"""Opens a file that should be a saved file; errors of the system become messages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from attn_inject.errors import FileError

_Path = str | os.PathLike[str]


@contextmanager
def reading(path: _Path) -> Iterator[BinaryIO]:
    """The file, open for reading.

    Raises:
        FileError: It is missing, a folder, or cannot be read.
    """
    try:
        if Path(path).is_dir():
            raise FileError(f"{path} is a folder.", hint="Name a file in it.")
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: _Path, error: OSError) -> FileError:
    """For a file that the system cannot open."""
    if isinstance(error, FileNotFoundError):
        return FileError(f"There is no file {path}.", hint="Check its name and folder.")
    return FileError(f"{path} cannot be read: {error.strerror or error}.", hint="Check its permissions.")
