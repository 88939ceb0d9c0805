"""The output folder: on this machine, or in a store.

Names are relative to the place, with `/` between their parts. A place is plain data and is sent to workers.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from attn_inject.errors import FileError, MissingExtraError, UsageError
from attn_inject.files.atomic import atomic_write, publish
from attn_inject.zoo.remote_place import RemotePlace, protocols
from attn_inject.zoo.stored import OWN, Stored, read_whole, reporting


class Place(Protocol):
    """A folder for the output."""

    @property
    def url(self) -> str:
        """The user's name for it."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes can read what is written here."""

    def make(self) -> None:
        """Make the folder if it does not exist."""

    def check(self) -> None:
        """Write into the folder once; FileError if that fails."""

    def taken(self, names: Iterable[str]) -> list[str]:
        """The names among these that already exist, hidden or not."""

    def sizes(self) -> dict[str, int]:
        """Every file and its size in bytes."""

    def stored(self, name: str) -> Stored:
        """Read a whole file for its digest."""

    def read(self, name: str) -> bytes:
        """The content of a file."""

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a file, all of it or nothing."""

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if there is none."""

    def rename(self, name: str, new: str) -> None:
        """Give a file another name."""

    def free(self) -> int | None:
        """Bytes left, or None if unknown."""

    def target(self, name: str) -> Any:
        """A context in which the file is made at a local path, and afterwards is in its place."""


def open_place(url: str) -> Place:
    """The place that a path or URL names; nothing is accessed yet.

    Raises:
        UsageError: No such kind of URL.
        MissingExtraError: The package for such URLs is not installed.
    """
    if "://" not in url:
        return LocalPlace(os.path.expanduser(url))
    import fsspec

    try:
        filesystem, root = fsspec.core.url_to_fs(url)
    except ValueError as error:
        raise UsageError(
            f"{url} cannot be opened: {error}.", hint="Write a path, or a URL such as s3://bucket/zoo."
        ) from None
    except ImportError as error:
        raise _missing(url, error) from None
    if "file" in protocols(filesystem):
        return LocalPlace(root)
    return RemotePlace(url)


def _missing(url: str, error: ImportError) -> MissingExtraError:
    extra = "s3" if url.startswith(("s3://", "s3a://")) else ""
    install = f"pip install 'attn-inject[{extra}]'" if extra else "Install the package that it names."
    return MissingExtraError(f"{url} cannot be opened: {error}.", hint=install)


@dataclass(frozen=True)
class LocalPlace:
    """A folder that every process on this machine, or on all machines, reaches by the same path."""

    url: str

    @property
    def root(self) -> Path:
        """The folder."""
        return Path(self.url)

    @property
    def is_shared(self) -> bool:
        """Always."""
        return True

    def path(self, name: str) -> Path:
        """The path of a name: the only way from a name to a file that is read, written, renamed or removed.

        Raises:
            FileError: A link leads elsewhere, or the name itself leaves the folder.
        """
        root = Path(os.path.realpath(self.root))
        path = root / name
        found = Path(os.path.realpath(path))
        if found != path or root not in path.parents:
            raise FileError(
                f"{self.url}/{name} leads to {found}, through a link or out of the output folder.",
                hint="Replace the link by a folder or a file, or name another --out-dir.",
            )
        return path

    def reporting(self) -> AbstractContextManager[None]:
        """A context in which every error says that the place cannot be used."""
        return reporting(self.url)

    def make(self) -> None:
        """Make the folder and those above it."""
        with reporting(self.url):
            self.root.mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        """Write into the folder once."""
        with reporting(self.url), tempfile.TemporaryFile(dir=self.root) as file:
            file.write(b"\0")

    def taken(self, names: Iterable[str]) -> list[str]:
        """The names among these that already exist, even as broken links."""
        return [name for name in names if os.path.lexists(self.root / name)]

    def sizes(self) -> dict[str, int]:
        """Every file, including hidden ones, except the scratch of runs and what links lead to."""
        with reporting(self.url):
            found = (path for path in _files(self.root) if path.is_file())
            return {path.relative_to(self.root).as_posix(): path.stat().st_size for path in found}

    def stored(self, name: str) -> Stored:
        """Read a whole file for its digest."""
        with reporting(self.url), open(self.path(name), "rb") as file:
            return read_whole(file)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with reporting(self.url):
            return self.path(name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a file, all of it or nothing."""
        with atomic_write(self.path(name), force=True) as file:
            file.write(content)

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if there is none."""
        with reporting(self.url):
            self.path(name).unlink(missing_ok=True)

    def rename(self, name: str, new: str) -> None:
        """Give a file another name; an existing file of that name is replaced only by an equal one.

        Raises:
            FileError: Another file has that name.
        """
        with reporting(self.url):
            if self.taken([new]) and self.stored(new) != self.stored(name):
                raise FileError(
                    f"{self.url}/{new} is another file.", hint="Move it, and run the same command again."
                )
            os.replace(self.path(name), self.path(new))

    def publish(self, finished: Path, name: str, *, force: bool) -> None:
        """Give a finished file of a scratch folder its name.

        Raises:
            FileError: The name exists, and `force` is not set; or renaming fails.
        """
        with reporting(self.url):
            target = self.path(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                publish(finished, self.path(name), force=force)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                # A folder in the output folder may be another disk, which a rename cannot reach.
                with atomic_write(target, force=force) as file, open(finished, "rb") as made:
                    shutil.copyfileobj(made, file)
            finished.unlink(missing_ok=True)

    def free(self) -> int | None:
        """Bytes left on the disk."""
        above = (self.root.absolute(), *self.root.absolute().parents)
        with reporting(self.url):
            return shutil.disk_usage(next(path for path in above if path.exists())).free

    @contextmanager
    def target(self, name: str) -> Iterator[Path]:
        """The file's own path; writers use atomic writes."""
        yield self.path(name)


def _files(folder: Path) -> Iterator[Path]:
    """Every file below, except scratch; links to folders are not followed."""
    for above, inner, files in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(OWN)]
        yield from (Path(above, name) for name in files if not name.startswith(OWN))
