"""What an earlier run left: which outputs are done and intact, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from attn_inject.errors import FileError
from attn_inject.zoo.jobs import Job
from attn_inject.zoo.ledger import Ledger
from attn_inject.zoo.place import Place, RemotePlace, Stored
from attn_inject.zoo.record import Record

STATES = {
    "done": "the file is there, and its digest is the one in the ledger",
    "new": "no run has finished it",
    "failed": "an earlier run could not do it",
    "missing": "it was done, and the file is gone",
    "changed": "it was done, and the file is no longer what was written",
    "other plan": "the file was made from another request",
}
_READERS = 4


@dataclass(frozen=True)
class OutputStatus:
    """Where one output stands.

    Attributes:
        job: What is asked.
        state: A key of `STATES`.
        record: The latest of it, or None.
        changed: The digest of the file that is there, if no run wrote it.
        is_own: Whether the file that is there is as a run wrote it.
    """

    job: Job
    state: str
    record: Record | None = None
    changed: str | None = None
    is_own: bool = False


def scan_outputs(jobs: Iterable[Job], ledger: Ledger, place: Place, *, discard: bool) -> list[OutputStatus]:
    """Where every output stands; reads every file that the ledger says is done.

    Args:
        jobs: The outputs.
        ledger: What earlier runs noted.
        place: Where the files are.
        discard: Whether an output counts as done whose file was removed on purpose.
    """
    sizes = place.sizes()
    with ThreadPoolExecutor(_READERS) as readers:
        return [*readers.map(lambda job: _standing(job, ledger, place, sizes, discard), jobs)]


def _standing(
    job: Job, ledger: Ledger, place: Place, sizes: Mapping[str, int], discard: bool
) -> OutputStatus:
    record = ledger.records.get(job.file)
    if record is None:
        # A worker that writes into a store itself may have been killed before its file was noted.
        left = isinstance(place, RemotePlace) and job.file in ledger.planned and job.file in sizes
        return OutputStatus(job, "new", changed=place.stored(job.file).digest if left else None)
    found = _found(record, place, sizes)
    is_own = record.is_done and not record.discarded and found is not None and found.digest == record.digest
    changed = None if found is None or is_own else found.digest
    return OutputStatus(job, _state(record, job, found, changed, discard), record, changed, is_own)


def _state(record: Record, job: Job, found: Stored | None, changed: str | None, discard: bool) -> str:
    if not record.is_done:
        return "failed"
    if record.key != job.key:
        return "other plan"
    if record.discarded:
        return "done" if discard else "missing"
    if found is None:
        return "missing"
    return "changed" if changed else "done"


def _found(record: Record, place: Place, sizes: Mapping[str, int]) -> Stored | None:
    """What is there where a record's file should be.

    Raises:
        FileError: It cannot be read.
    """
    return place.stored(record.file) if record.file in sizes else None


def name_aside(file: str, digest: str) -> str:
    """Where a file goes that someone changed, so that it can be made again and nothing is lost."""
    stem, dot, suffix = file.rpartition(".")
    return f"{stem}.changed-{digest[:16]}{dot}{suffix}"


def refuse_foreign_files(
    files: Iterable[str], summaries: Iterable[str], ledger: Ledger, place: Place
) -> None:
    """Refuse to replace what no zoo has made here.

    Args:
        files: Outputs, which the ledger vouches for once they are noted.
        summaries: Files beside them, which it vouches for once a run set out to write them.
        ledger: What earlier runs noted.
        place: Where the files are.

    Raises:
        FileError: A file is there that no run wrote.
    """
    known = {*ledger.records, *(ledger.planned if isinstance(place, RemotePlace) else ())}
    foreign = [file for file in place.taken(files) if file not in known]
    foreign += [file for file in place.taken(summaries) if file not in ledger.planned]
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise FileError(
            f"{place.url} holds {foreign[0]}{more} already, and its ledger does not know of it.",
            hint="Use --force to replace it, or name another --out-dir.",
        )
