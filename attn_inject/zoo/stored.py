"""What a place keeps, read whole, and errors of disks and stores in our words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from attn_inject.errors import AttnInjectError, FileError

OWN = ".attn-inject-"
SCRATCH = f"{OWN}scratch-"
_CHUNK = 2**22


@dataclass(frozen=True)
class Stored:
    """A complete file: its SHA-256 in hexadecimal, and its size in bytes."""

    digest: str
    size: int


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_whole(file: _Readable) -> Stored:
    """The digest and size of an open file."""
    hashed, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        hashed.update(chunk)
        size += len(chunk)
    return Stored(hashed.hexdigest(), size)


@contextmanager
def reporting(url: str) -> Iterator[None]:
    """Stores raise their own libraries' errors; each means that the place cannot be used."""
    try:
        yield
    except (AttnInjectError, FileNotFoundError) as error:
        if isinstance(error, AttnInjectError):
            raise
        raise _unusable(url, error) from error
    except Exception as error:
        raise _unusable(url, error) from error


def _unusable(url: str, error: Exception) -> FileError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return FileError(
        f"{url} cannot be used: {reason.strip().rstrip('.')}.",
        hint="Name another folder with --out-dir, or check its permissions.",
    )
