"""The ledger: one JSON line per finished output, on disk before the run continues.

A folder of this machine has `ledger.jsonl`, which is only appended to. A kill can truncate its last line;
such a line is ignored. Stores cannot append, so there each line is a small file in `ledger/`. A line with
`run` lists what a run is going to write, one with `summaries` the files that it writes beside the outputs,
and the others are records of outputs.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from attn_inject.errors import FileError
from attn_inject.zoo.place import LocalPlace, Place
from attn_inject.zoo.record import Record
from attn_inject.zoo.remote_place import RemotePlace
from attn_inject.zoo.rows import row
from attn_inject.zoo.values import texts, whole

NAME = "ledger.jsonl"
FOLDER = "ledger"
_FAR = 9000  # a year

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class _Book(Protocol):
    def append(self, line: str) -> None: ...


@dataclass
class Ledger:
    """The content of a ledger.

    Attributes:
        records: The latest record of each file.
        planned: Every file that a run was going to write.
        scratch: The scratch folders of runs.
        summaries: Digests of the files that runs were going to write beside the outputs, by file.
        torn: How many lines could not be read.
    """

    records: dict[str, Record] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)
    scratch: set[str] = field(default_factory=set)
    summaries: dict[str, set[str]] = field(default_factory=dict)
    torn: int = 0
    _book: _Book | None = None

    def begin(self, files: Iterable[str], scratch: str, about: Mapping[str, Any]) -> None:
        """Record what a run is going to write, except files of earlier runs, and its scratch folder."""
        new = [file for file in files if file not in self.planned]
        self.planned.update(new)
        self.scratch.add(scratch)
        self._append({"run": {**about, "files": new, "scratch": scratch}})

    def add(self, record: Record) -> None:
        """Record the result of one output; on disk when this returns."""
        self._append(record.to_json())
        self.records[record.file] = record

    def note_summaries(self, digests: Mapping[str, str]) -> None:
        """Record which files are about to be written beside the outputs; digests by file."""
        self._append({"summaries": dict(digests)})
        self._take_summaries(digests)

    def _take_summaries(self, digests: Mapping[str, str]) -> None:
        for file, digest in digests.items():
            self.summaries.setdefault(file, set()).add(digest)

    def _append(self, line: Mapping[str, Any]) -> None:
        assert self._book is not None, "this ledger is open for reading only"
        self._book.append(json.dumps(line, separators=(",", ":")) + "\n")

    def _take(self, lines: Iterable[str]) -> None:
        for line in lines:
            try:
                self._take_line(json.loads(line))
            # Other lines in the ledger are ignored.
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                self.torn += 1

    def _take_line(self, content: Any) -> None:
        if "run" in content:
            run = content["run"]
            names = texts([*run["files"], *([run["scratch"]] if "scratch" in run else [])])
            self.planned.update(names[: len(run["files"])])
            self.scratch.update(names[len(run["files"]) :])
        elif "summaries" in content:
            texts([*content["summaries"].keys(), *content["summaries"].values()])
            self._take_summaries(content["summaries"])
        else:
            record = Record.from_json(content)
            _require_numbers(row(record))
            self.records[record.file] = record


def _require_numbers(shown: Mapping[str, Any]) -> None:
    """Raise for a row that a table cannot show."""
    for name, value in shown.items():
        if name.endswith(("params", "flops", "activations")) and value is not None:
            whole(abs(value))


def read_ledger(place: Place) -> Ledger:
    """The ledger of a place, only for reading."""
    ledger = Ledger()
    if isinstance(place, LocalPlace):
        if place.taken([NAME]):
            ledger._take(place.read(NAME).decode(errors="replace").splitlines())
    elif isinstance(place, RemotePlace):
        ledger._take(content.decode(errors="replace") for content in place.read_many(_pieces(place)))
    return ledger


def _pieces(place: Place) -> list[str]:
    """The files with the lines of a store's ledger, in the order in which they were written."""
    return sorted(name for name in place.sizes() if name.startswith(f"{FOLDER}/"))


@contextmanager
def open_ledger(place: Place) -> Iterator[Ledger]:
    """The ledger of a place, for writing; on this machine for one run at a time.

    Raises:
        FileError: Another zoo writes here, or the ledger cannot be written.
    """
    with contextlib.ExitStack() as stack:
        book: _Book
        if isinstance(place, LocalPlace):
            book = stack.enter_context(_file_book(place.path(NAME)))
        else:
            book = _PieceBook(place, _pieces(place))
        ledger = read_ledger(place)
        ledger._book = book
        yield ledger


@contextmanager
def _file_book(path: Path) -> Iterator[_FileBook]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise FileError(
            f"{path} cannot be written: {error.strerror}.", hint="Name another --out-dir."
        ) from error
    try:
        _lock(descriptor, path)
        yield _FileBook(descriptor, path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileError(
            f"Another zoo is writing to {path.parent}.", hint="Wait for it, or name another --out-dir."
        ) from None
    except OSError:  # a disk without locks
        return


class _FileBook:
    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        size = os.fstat(descriptor).st_size
        # A truncated line is ended, so that the next one is complete.
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            self.append("\n")

    def append(self, line: str) -> None:
        """One write for the whole line, so that Ctrl-C comes before or after it."""
        data = line.encode()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise FileError(
                f"{self._path} cannot be written: {error.strerror}.",
                hint="Free some space and run the same command again; the ledger is kept.",
            ) from error


class _PieceBook:
    """Files whose names sort as their lines were written.

    Args:
        place: The store.
        earlier: The names that exist. Those of this run come after them, even if the clock was set back.
    """

    def __init__(self, place: Place, earlier: Sequence[str]) -> None:
        self._place = place
        after = max(map(_began, earlier), default=datetime.min) + timedelta(seconds=1)
        self._run = f"{max(_now(), after).strftime(_STAMP)}-{secrets.token_hex(4)}"
        self._count = 0

    def append(self, line: str) -> None:
        self._count += 1
        self._place.write(f"{FOLDER}/{self._run}-{self._count:06d}.json", line.encode())


_STAMP = "%Y%m%dT%H%M%S"


def _began(piece: str) -> datetime:
    """When the run began that wrote a file of the ledger; long ago if the name is somebody else's."""
    try:
        began = datetime.strptime(piece.removeprefix(f"{FOLDER}/").partition("-")[0], _STAMP)
    except ValueError:
        return datetime.min
    return began if began.year < _FAR else datetime.min


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
