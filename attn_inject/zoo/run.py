"""A zoo from beginning to end: plan, convert, record, report."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol

from attn_inject.errors import FileError, UsageError
from attn_inject.versions import versions
from attn_inject.zoo import machine
from attn_inject.zoo.drive import Finished, drive
from attn_inject.zoo.dry_run import DryRun, Planned, look_ahead
from attn_inject.zoo.engine import Engine, Failure, Progress, Task
from attn_inject.zoo.ledger import Ledger, open_ledger, read_ledger
from attn_inject.zoo.local import LocalEngine
from attn_inject.zoo.manifest import Settings, Zoo
from attn_inject.zoo.place import Place, open_place
from attn_inject.zoo.publishing import Publisher, open_publisher, recover, scratch_name
from attn_inject.zoo.record import Record
from attn_inject.zoo.resume import refuse_foreign_files
from attn_inject.zoo.summary import SUMMARIES, write_summaries


class Watcher(Protocol):
    """Receives the progress of a run; all its methods return at once."""

    def say(self, text: str) -> None:
        """Receive a step before the first model."""

    def begin(self, dry_run: DryRun) -> None:
        """Receive what will be done."""

    def progress(self, running: Sequence[Progress]) -> None:
        """Receive what runs now, a few times per second."""


class NullWatcher:
    """A watcher that ignores everything."""

    def say(self, text: str) -> None:
        """Ignore it."""

    def begin(self, dry_run: DryRun) -> None:
        """Ignore it."""

    def progress(self, running: Sequence[Progress]) -> None:
        """Ignore it."""


def preview(zoo: Zoo, watcher: Watcher) -> DryRun:
    """What `run` would do; writes nothing.

    Raises:
        AttnInjectError: As `run`.
    """
    place = open_place(zoo.settings.out_dir)
    with open_engine(zoo.settings, place) as engine:
        return look_ahead(zoo, engine, read_ledger(place), place, only_look=True, progress=watcher.say)


def run(zoo: Zoo, watcher: Watcher) -> Generator[Record, None, None]:
    """Convert a zoo and yield a record per output: first those of earlier runs, then each when it ends.

    Raises:
        UsageError: Two outputs have the same file name.
        UnknownNameError: A name or glob matches nothing.
        FileError: The output folder cannot be written, or holds other files under the same names.
        MissingExtraError: Ray, or the package for the output folder's URL, is not installed.
    """
    place = open_place(zoo.settings.out_dir)
    place.make()
    with ExitStack() as stack:
        # A run that is refused here has changed nothing.
        ledger = stack.enter_context(open_ledger(place))
        place.check()
        recover(place, ledger)
        engine = stack.enter_context(open_engine(zoo.settings, place))
        dry_run = look_ahead(zoo, engine, ledger, place, only_look=False, progress=watcher.say)
        files = [planned.job.file for planned in dry_run.to_do]
        if not zoo.settings.force:
            refuse_foreign_files(files, SUMMARIES, ledger, place)
        scratch = scratch_name(secrets.token_hex(8))
        if dry_run.to_do:
            ledger.begin([*files, *SUMMARIES], scratch, {"began": _now(), "versions": versions()})
        for planned in dry_run.to_do:
            # A name with the digest in it: an existing file of that name is the same.
            if planned.aside is not None:
                place.rename(planned.job.file, planned.aside)
        watcher.begin(dry_run)
        pending = {id(planned) for planned in dry_run.to_do}
        for planned in dry_run.outputs:
            if id(planned) not in pending and planned.job.file in ledger.records:
                yield dataclasses.replace(ledger.records[planned.job.file], reused=True)
        try:
            if dry_run.to_do:
                with open_publisher(place, scratch) as hands:
                    yield from _convert(zoo.settings, engine, dry_run.to_do, ledger, hands, watcher)
        finally:
            if ledger.records:
                write_summaries(place, ledger)


def _convert(
    settings: Settings,
    engine: Engine,
    to_do: Sequence[Planned],
    ledger: Ledger,
    hands: Publisher,
    watcher: Watcher,
) -> Iterator[Record]:
    tasks = [_task(number, planned, hands, settings) for number, planned in enumerate(to_do)]
    finishing = drive(
        engine, tasks, retries=settings.retries, tick=lambda: watcher.progress(engine.progress())
    )
    try:
        for finished in finishing:
            record = _note(finished, to_do, ledger, hands, force=settings.force)
            yield record
            if settings.fail_fast and not record.is_done:
                return
    except KeyboardInterrupt:
        # Finished outputs are not made again.
        for ended in engine.poll(0):
            if ended.answer is not None:
                over = Finished(task=ended.task, answer=ended.answer, seconds=ended.seconds, peak=ended.peak)
                _note(over, to_do, ledger, hands, force=settings.force)
        raise


def _task(number: int, planned: Planned, hands: Publisher, settings: Settings) -> Task:
    job = planned.job
    return Task(
        number=number,
        work="convert",
        payload={
            "request": job.request,
            "plan": job.plan,
            "place": hands.workers,
            "file": hands.name_for(job.file),
            "discard": settings.discard,
            "keeping": {"only": job.only, "keep_replaced": job.keep_replaced},
        },
        label=job.label,
        need=planned.need,
        timeout=job.timeout,
    )


def _note(
    finished: Finished, to_do: Sequence[Planned], ledger: Ledger, hands: Publisher, *, force: bool
) -> Record:
    planned = to_do[finished.task.number]
    record = _record(finished, planned)
    is_made = record.is_done and not record.discarded
    force = force or planned.replaces
    try:
        if is_made:
            hands.check(record.file, force=force)
        # First the digest, then the file: a file without a line in the ledger is not a zoo's.
        ledger.add(record)
        if is_made:
            hands.publish(record.file, record.size, force=force)
    except FileError as error:
        failure = Failure(code=error.code, message=error.message, hint=error.hint)
        record = dataclasses.replace(record, status="failed", digest="", size=0, failure=failure, result=None)
        ledger.add(record)
    return record


def _record(finished: Finished, planned: Planned) -> Record:
    job, answer, failure = planned.job, finished.answer, finished.failure
    if failure is None and answer is None:
        failure = Failure(code="internal", message="The worker gave no answer.")
    about = Record(
        key=job.key,
        file=job.file,
        model=job.request.name,
        attention=job.attention,
        placement=job.plan.placement,
        status="failed",
        seconds=round(finished.seconds, 3),
        peak_memory=finished.peak,
        need=planned.need,
        attempts=finished.attempts,
        node=finished.node,
        alone=finished.alone,
        ended=_now(),
        failure=failure,
        versions=versions(),
    )
    if failure is not None:
        return about
    result = {**answer["result"], "file": job.file}
    return dataclasses.replace(about, status="done", **{**answer, "result": result})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@contextmanager
def open_engine(settings: Settings, place: Place) -> Iterator[Engine]:
    """Processes of this machine, or of a Ray cluster; they end with the context.

    Raises:
        UsageError: A cluster cannot reach the output folder.
        MissingExtraError: Ray is not installed.
    """
    if settings.ray is None:
        jobs = settings.jobs or machine.cores()
        engine: Engine = LocalEngine(jobs, machine.memory_limit(settings.memory_limit))
    else:
        if not place.is_shared:
            raise UsageError(
                f"{settings.out_dir} exists in one process only, and a cluster has many.",
                hint="Name a folder or store that every node reaches.",
            )
        from attn_inject.zoo.cluster import RayEngine

        engine = RayEngine(settings.ray, jobs=settings.jobs, memory=settings.memory_limit)
    try:
        yield engine
    finally:
        engine.close()
