"""The output folder in any store that fsspec supports, such as S3."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_inject.errors import FileError
from attn_inject.zoo.retrying import retried
from attn_inject.zoo.stored import OWN, SCRATCH, Stored, read_whole, reporting


@dataclass(frozen=True)
class RemotePlace:
    """A folder in a store of fsspec; credentials and endpoints come from the environment.

    Every call is tried again if it fails, so each of them may be repeated.
    """

    url: str

    @property
    def is_shared(self) -> bool:
        """All except `memory://`, which exists in one process only."""
        return "memory" not in protocols(self._open()[0])

    def make(self) -> None:
        """Nothing, since a store makes folders for its files."""

    def taken(self, names: Iterable[str]) -> list[str]:
        """The names among these that a file has."""
        sizes = self.sizes()
        return [name for name in names if name in sizes]

    def check(self) -> None:
        """Write a small file and remove it again."""
        self.write(f"{OWN}check", b"\0")
        self.remove(f"{OWN}check")

    def sizes(self) -> dict[str, int]:
        """Every file."""

        def found(filesystem: Any, root: str) -> dict[str, Any]:
            filesystem.invalidate_cache()  # others may have written since
            try:
                return filesystem.find(root, detail=True)  # type: ignore[no-any-return]
            except FileNotFoundError:
                return {}

        start = len(self._open()[1])
        return {path[start:].lstrip("/"): info["size"] for path, info in self._try(found).items()}

    def stored(self, name: str) -> Stored:
        """Read a whole file for its digest."""
        file = self._try(lambda filesystem, root: filesystem.open(f"{root}/{name}", "rb"))
        with file, reporting(self.url):
            return read_whole(_Patient(file))

    def read(self, name: str) -> bytes:
        """The content of a file."""
        content: bytes = self._try(lambda filesystem, root: filesystem.cat_file(f"{root}/{name}"))
        return content

    def read_many(self, names: Iterable[str]) -> list[bytes]:
        """The contents of many small files, fetched together if the store can do that."""
        found: dict[str, bytes] = {}
        paths = [f"{self._open()[1]}/{name}" for name in names]

        def fetch(filesystem: Any, root: str) -> None:
            missing = [path for path in paths if path not in found]
            got = filesystem.cat(missing, on_error="return") if missing else {}
            found.update({path: content for path, content in got.items() if isinstance(content, bytes)})
            for content in got.values():
                if isinstance(content, Exception):
                    raise content

        self._try(fetch)
        return [found[path] for path in paths]

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a file; a store shows it when it is complete."""
        self._make_parent(name)
        self._try(lambda filesystem, root: filesystem.pipe_file(f"{root}/{name}", content))

    def put(self, path: Path, name: str) -> None:
        """Copy a local file here."""

        def info(filesystem: Any, root: str) -> Any:
            filesystem.invalidate_cache()
            return filesystem.info(f"{root}/{name}")

        self._make_parent(name)
        self._try(lambda filesystem, root: filesystem.put_file(str(path), f"{root}/{name}"))
        size = self._try(info)["size"]
        if size != path.stat().st_size:
            raise FileError(f"{self.url}/{name} has {size} bytes, not {path.stat().st_size}.")

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if there is none."""

        def remove(filesystem: Any, root: str) -> None:
            # Also at a second attempt, after a first one that failed too late.
            with contextlib.suppress(FileNotFoundError):
                filesystem.rm_file(f"{root}/{name}")

        self._try(remove)

    def rename(self, name: str, new: str) -> None:
        """Copy a file to another name, then remove it."""
        self._try(lambda filesystem, root: filesystem.cp_file(f"{root}/{name}", f"{root}/{new}"))
        self.remove(name)

    def free(self) -> int | None:
        """Unknown."""
        return None

    @contextmanager
    def target(self, name: str) -> Iterator[Path]:
        """A path in a temporary folder; at the end the file there is copied to the store."""
        with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
            path = Path(folder) / Path(name).name
            yield path
            self.put(path, name)

    def _open(self) -> tuple[Any, str]:
        import fsspec

        filesystem, root = fsspec.core.url_to_fs(self.url)
        return filesystem, root.rstrip("/")

    def _try(self, call: Callable[[Any, str], Any]) -> Any:
        """Call something with the file system and the path of this folder in it."""
        with reporting(self.url):
            filesystem, root = self._open()
            return retried(lambda: call(filesystem, root))

    def _make_parent(self, name: str) -> None:
        def make(filesystem: Any, root: str) -> None:
            # S3 has no folders, and would try to make a bucket.
            if "s3" not in protocols(filesystem):
                filesystem.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)

        self._try(make)


class _Patient:
    """A file of a store; each piece of it is read again if that fails."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._at = 0

    def read(self, size: int) -> bytes:
        def piece() -> bytes:
            self._file.seek(self._at)
            return self._file.read(size)  # type: ignore[no-any-return]

        content = retried(piece)
        self._at += len(content)
        return content


def protocols(filesystem: Any) -> tuple[str, ...]:
    """The names of a file system of fsspec, such as `s3` and `s3a`."""
    found = filesystem.protocol
    return (found,) if isinstance(found, str) else tuple(found)
