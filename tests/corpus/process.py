"""A process for each model, with a limit on its time and memory, so that whatever happens is only a row."""

from __future__ import annotations

import fnmatch
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torchvision  # noqa: F401

from tests.corpus.examine import examine
from tests.corpus.libraries import Library


@dataclass(frozen=True)
class Limits:
    """What one model may take."""

    seconds: float = 120.0
    megabytes: int = 6000


def examine_library(
    library: Library, only: str, done: Container[str], limits: Limits
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Each model's name and facts, in order, from a process that has imported this library alone.

    A library may patch torch while it is imported (ultralytics does), so no two share a process. The
    models fork from it: an import of seconds is paid once.

    Args:
        library: Whose models.
        only: A glob of their names.
        done: Names that are not examined again; their facts are None.
        limits: For each model.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_work, args=(library, only, done, limits, sender))
    worker.start()
    sender.close()
    try:
        names = receiver.recv()
    except EOFError:
        names = ["(import)"]
    for name in names:
        try:
            yield name, None if name in done else receiver.recv()
        except EOFError:
            yield name, {"killed": "the library's own process ended", "step": "import", "seconds": 0.0}
    worker.join()


def _work(library: Library, only: str, done: Container[str], limits: Limits, sender: Connection) -> None:
    cases = {name: case for name, case in library.cases().items() if fnmatch.fnmatchcase(name, only)}
    sender.send(list(cases))
    for name, case in cases.items():
        if name not in done:
            sender.send(in_fork(partial(examine, case), limits))


def in_fork(work: Callable[[Callable[[dict[str, Any]], None]], None], limits: Limits) -> dict[str, Any]:
    """All that `work` told before it ended, with `killed` if it did not end by itself.

    Args:
        work: Is given a function that takes facts; its prints are swallowed.
        limits: Beyond them the process is killed.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    facts: dict[str, Any] = {}
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        child = context.Process(target=_run, args=(work, sender, log))
        child.start()
        sender.close()
        killed = _watch(child, receiver, facts, limits)
        child.join()
        if killed or child.exitcode:
            facts["killed"] = killed or f"exit code {child.exitcode}{_last_line(log)}"
    return {**facts, "seconds": round(time.monotonic() - began, 1)}


def _watch(child: Any, receiver: Connection, facts: dict[str, Any], limits: Limits) -> str:
    """Take what the child tells until it ends; why it was killed, or "" if it was not."""
    deadline = time.monotonic() + limits.seconds
    facts["megabytes"] = 0
    while True:
        megabytes = _resident(child.pid)
        facts["megabytes"] = max(facts["megabytes"], megabytes)
        over_time = time.monotonic() > deadline
        if over_time or megabytes > limits.megabytes:
            child.kill()
            return f"over {limits.seconds:g} s" if over_time else f"over {limits.megabytes} MB"
        try:
            if receiver.poll(0.1):
                facts.update(receiver.recv())
        except EOFError:
            return ""


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss) >> 20
    except psutil.NoSuchProcess:
        return 0


def _run(work: Callable[..., None], sender: Connection, log: Path) -> None:
    # Both Python's streams and what C writes; the file stays open for a traceback after this.
    sys.stdout = sys.stderr = log.open("w", buffering=1)
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stdout.fileno(), 2)
    work(sender.send)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    written = [line.strip() for line in lines if line.strip()]
    return f": {written[-1]}" if written else ""
