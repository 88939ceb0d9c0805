"""Which outputs of earlier runs are done and intact, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from attn_inject.errors import FileError
from attn_inject.zoo.jobs import Job
from attn_inject.zoo.ledger import Ledger
from attn_inject.zoo.place import Place
from attn_inject.zoo.record import Record
from attn_inject.zoo.remote_place import RemotePlace
from attn_inject.zoo.stored import Stored

STATES = {
    "done": "the file exists, and its digest is the one in the ledger",
    "new": "no run has finished it",
    "failed": "an earlier run failed to make it",
    "missing": "it was done, and the file is missing",
    "changed": "it was done, and the file has changed since",
    "other plan": "the file was made from another request",
}
_READERS = 4


@dataclass(frozen=True)
class OutputStatus:
    """The status of one output.

    Attributes:
        job: The request.
        state: A key of `STATES`.
        record: Its latest record, or None.
        changed: The digest of the existing file, if no run wrote it.
        is_own: Whether the existing file is as a run wrote it.
    """

    job: Job
    state: str
    record: Record | None = None
    changed: str | None = None
    is_own: bool = False


def scan_outputs(jobs: Iterable[Job], ledger: Ledger, place: Place, *, discard: bool) -> list[OutputStatus]:
    """The status of every output; reads every file that the ledger lists as done.

    Args:
        jobs: The outputs.
        ledger: The records of earlier runs.
        place: Where the files are.
        discard: Whether an output whose file was removed on purpose counts as done.
    """
    sizes = place.sizes()
    with ThreadPoolExecutor(_READERS) as readers:
        return [*readers.map(lambda job: _standing(job, ledger, place, sizes, discard), jobs)]


def _standing(
    job: Job, ledger: Ledger, place: Place, sizes: Mapping[str, int], discard: bool
) -> OutputStatus:
    record = ledger.records.get(job.file)
    if record is None:
        # A worker that writes to a store itself may have been killed before its file was recorded.
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
    """The file of a record as it is now.

    Raises:
        FileError: It cannot be read.
    """
    return place.stored(record.file) if record.file in sizes else None


def name_aside(file: str, digest: str) -> str:
    """The new name of a changed file, so that the output can be made again and nothing is lost."""
    stem, dot, suffix = file.rpartition(".")
    return f"{stem}.changed-{digest[:16]}{dot}{suffix}"


def refuse_foreign_files(
    files: Iterable[str], summaries: Iterable[str], ledger: Ledger, place: Place
) -> None:
    """Refuse to replace files that no zoo has made here.

    Args:
        files: Outputs, which are a zoo's once the ledger has recorded them.
        summaries: Files beside them, which are a zoo's once a run has announced them.
        ledger: The records of earlier runs.
        place: Where the files are.

    Raises:
        FileError: A file exists that no run wrote.
    """
    known = {*ledger.records, *(ledger.planned if isinstance(place, RemotePlace) else ())}
    foreign = [file for file in place.taken(files) if file not in known]
    foreign += [file for file in place.taken(summaries) if file not in ledger.planned]
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise FileError(
            f"{place.url} holds {foreign[0]}{more} already, which is not in its ledger.",
            hint="Use --force to replace it, or name another --out-dir.",
        )
