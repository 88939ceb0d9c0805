"""Processes of this machine: forked from one that has everything imported, reused, one task at a time.

multiprocessing's fork server imports torch and the libraries once. A worker starts in milliseconds, shares
their memory, and its death does not affect others. Workers end when the driver ends, for whatever reason: a
thread in each reads the connection and exits when that closes.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import multiprocessing
import os
import queue
import signal
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from attn_inject.zoo.deaths import explain
from attn_inject.zoo.engine import Ended, Node, Progress, Task
from attn_inject.zoo.work import perform

HERE = "this machine"
PRELOAD = "attn_inject.zoo.preload"
# A worker that still holds more memory than this after a model is replaced by a new one.
_MOST_KEPT = 600 * 2**20


class LocalEngine:
    """Runs tasks in processes of this machine.

    Args:
        jobs: Processes at a time.
        memory: Bytes for all tasks together.
    """

    def __init__(self, jobs: int, memory: int) -> None:
        self._node = Node(HERE, jobs, memory)
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}
        self._logs = tempfile.TemporaryDirectory(prefix="attn-inject-logs-")

    def nodes(self) -> Sequence[Node]:
        """This machine."""
        return [self._node]

    def start(self, task: Task, node: str) -> None:
        """Give a task to an idle worker, or to a new one."""
        worker = self._idle.pop() if self._idle else _Worker(Path(self._logs.name))
        try:
            worker.give(task)
        except OSError:  # it died while idle
            worker.end()
            worker = _Worker(Path(self._logs.name))
            worker.give(task)
        self._busy[task.number] = worker

    def poll(self, seconds: float) -> list[Ended]:
        """The tasks that ended, after waiting `seconds` at most."""
        by_connection = {worker.connection: worker for worker in self._busy.values()}
        if not by_connection:
            time.sleep(seconds if self._busy else 0)
            return []
        ended = [by_connection[ready].hear() for ready in wait([*by_connection], seconds)]  # type: ignore[index]
        over = [item for item in ended if item is not None]
        for item in over:
            worker = self._busy.pop(item.task.number)
            if item.died or worker.is_bloated:
                worker.end()
            else:
                self._idle.append(worker)
        return over

    def kill(self, task: Task) -> None:
        """End the process that runs a task."""
        self._busy.pop(task.number).end()

    def progress(self) -> list[Progress]:
        """The state of every worker, and its current memory."""
        return [worker.progress() for worker in self._busy.values()]

    def close(self) -> None:
        """End every process."""
        for worker in (*self._busy.values(), *self._idle):
            worker.end()
        self._busy, self._idle = {}, []
        self._logs.cleanup()


class _Worker:
    """One worker process, in the driver."""

    def __init__(self, logs: Path) -> None:
        context = multiprocessing.get_context(_method())
        if hasattr(context, "set_forkserver_preload"):
            context.set_forkserver_preload([PRELOAD])
        self.connection, theirs = context.Pipe()
        handle, name = tempfile.mkstemp(dir=logs)
        os.close(handle)
        self._log = Path(name)
        process: Any = context.Process  # type: ignore[attr-defined]
        self.process = process(target=serve, args=(theirs, name, dict(os.environ)), daemon=True)
        with _no_main_module():
            self.process.start()
        theirs.close()
        self._task: Task | None = None
        self._stage = ""
        self._began = 0.0
        self._memory = 0
        self.is_bloated = False

    def give(self, task: Task) -> None:
        self._task, self._stage, self._began, self._memory = task, "", time.monotonic(), 0
        self.connection.send(task)

    def hear(self) -> Ended | None:
        """One message: the end of the task, or None if it only reported a step."""
        try:
            message = self.connection.recv()
        # Data that is not a pickle comes from a process that was killed while writing.
        except Exception:
            return self._died()
        if isinstance(message, str):
            self._stage = message
            return None
        ended, self.is_bloated = message
        return ended  # type: ignore[no-any-return]

    def _died(self) -> Ended:
        assert self._task is not None
        self.process.join(5)
        words = self._log.read_text(errors="replace")
        failure = explain(self.process.exitcode, words, self._memory)
        return Ended(task=self._task, failure=failure, died=True, peak=self._memory)

    def progress(self) -> Progress:
        assert self._task is not None
        now = _memory_of(self.process.pid)
        self._memory = max(now, self._memory)
        return Progress(
            task=self._task, stage=self._stage, seconds=time.monotonic() - self._began, memory=now
        )

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()
        self.process.close()


def serve(connection: Connection, log: str, environment: Mapping[str, str]) -> None:
    """The worker: do tasks one after another until the connection ends."""
    # Ctrl-C reaches every process of a terminal; only the driver reacts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _write_output_to(log)
    faulthandler.enable()
    os.environ.clear()
    os.environ.update(environment)
    _be_the_first_to_go()
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, tasks), daemon=True).start()
    resting = 0
    while True:
        task = tasks.get()
        os.truncate(log, 0)
        ended = perform(task, connection.send)
        _give_memory_back()
        now = _memory_of(os.getpid())
        resting = resting or now
        connection.send((ended, now - resting > _MOST_KEPT))


def _receive(connection: Connection, tasks: queue.SimpleQueue[Task]) -> None:
    try:
        while True:
            tasks.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)


def _write_output_to(log: str) -> None:
    """Keep what libraries print off the driver's display; a dead process's last output explains much."""
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:  # the driver was interrupted while this process was starting
        os._exit(0)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


def _be_the_first_to_go() -> None:
    """If memory runs out, let Linux kill a worker rather than the driver or another program."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("800")


def _give_memory_back() -> None:
    """Return freed memory to the system; glibc would keep it, and it would count for the next model."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _memory_of(pid: int | None) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _method() -> str:
    known = multiprocessing.get_all_start_methods()
    return "forkserver" if "forkserver" in known else "spawn"


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide the program from a new process, which would otherwise run the user's script again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
