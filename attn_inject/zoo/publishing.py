"""Moves finished files from the run's scratch folder to the output folder, once the ledger has recorded them.

Workers never write to a name that a user may have taken. They write to a folder of this run; the digest is
recorded, and then the file gets its name, replacing only files that the ledger lists as a zoo's.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from attn_inject.errors import FileError
from attn_inject.zoo.ledger import Ledger
from attn_inject.zoo.place import LocalPlace, Place
from attn_inject.zoo.record import Record
from attn_inject.zoo.remote_place import RemotePlace
from attn_inject.zoo.stored import SCRATCH

_SCRATCH_NAME = re.compile(re.escape(SCRATCH) + "[0-9a-f]{16}")


@dataclass(frozen=True)
class Publisher:
    """Where workers write their files, and how these get to the output folder.

    Attributes:
        workers: Where a worker writes: scratch, or the output folder itself if it is a store that workers
            reach.
        place: The output folder.
    """

    workers: Place
    place: Place

    def name_for(self, file: str) -> str:
        """The name of an output in a worker."""
        return scratch_file(file) if isinstance(self.workers, LocalPlace) else file

    def check(self, file: str, *, force: bool) -> None:
        """Refuse to replace a file that appeared in the output folder meanwhile.

        Raises:
            FileError: The file's name exists.
        """
        if not force and isinstance(self.workers, LocalPlace) and self.place.taken([file]):
            raise FileError(
                f"{self.place.url}/{file} appeared meanwhile and is not from this run.",
                hint="Move it, or use --force to replace it, and run the same command again.",
            )

    def publish(self, file: str, size: int, *, force: bool) -> None:
        """Make sure that a finished file is in the output folder.

        Raises:
            FileError: It is not, although its worker wrote it.
        """
        if not isinstance(self.workers, LocalPlace):
            return
        finished = self.workers.path(scratch_file(file))
        _require(finished, size)
        if isinstance(self.place, LocalPlace):
            self.place.publish(finished, file, force=force)
        elif isinstance(self.place, RemotePlace):
            self.place.put(finished, file)
            self.workers.remove(finished.name)


def scratch_file(file: str) -> str:
    """The short name of an output in a scratch folder."""
    return hashlib.sha256(file.encode()).hexdigest()[:32] + PurePosixPath(file).suffix


def scratch_name(token: str) -> str:
    """The scratch folder of a run, from 16 hexadecimal digits."""
    return f"{SCRATCH}{token}"


def _require(path: Path, size: int) -> None:
    if not path.is_file() or path.stat().st_size != size:
        raise FileError(
            f"{path} was written by a worker and is missing here.",
            hint="Every node has to reach the output folder by the same path.",
        )


@contextmanager
def open_publisher(place: Place, scratch: str) -> Iterator[Publisher]:
    """A publisher, and its scratch folder as long as the block lasts.

    Args:
        place: Of the output.
        scratch: The folder's name in it, which is already in the ledger.
    """
    if isinstance(place, LocalPlace):
        # Nodes of a cluster work in separate folders.
        folder = place.path(scratch)
        with place.reporting():
            folder.mkdir()
        try:
            yield Publisher(LocalPlace(str(folder)), place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    elif place.is_shared:
        yield Publisher(place, place)
    else:
        with tempfile.TemporaryDirectory(prefix=SCRATCH) as name:
            yield Publisher(LocalPlace(name), place)


def recover(place: Place, ledger: Ledger) -> None:
    """Give files that killed runs finished their names, and remove the rest of their scratch.

    Only folders that the ledger lists are changed, and only if they are not links.
    """
    if not isinstance(place, LocalPlace):
        return
    for name in ledger.scratch:
        if _SCRATCH_NAME.fullmatch(name) and place.path(name).is_dir():
            for record in ledger.records.values():
                _recover(place, name, record)
            shutil.rmtree(place.path(name), ignore_errors=True)


def _recover(place: LocalPlace, scratch: str, record: Record) -> None:
    name = f"{scratch}/{scratch_file(record.file)}"
    if not record.is_done or record.discarded or not place.taken([name]) or place.taken([record.file]):
        return
    if place.stored(name).digest == record.digest:
        place.publish(place.path(name), record.file, force=False)
