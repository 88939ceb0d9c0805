"""The interface between the driver and an engine, as plain values.

An engine has nodes, each with slots for processes and with memory. It starts a task on a node, reports when
one ended, and kills one. It knows nothing of models, ledgers or retries. `local` and `cluster` are engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Task:
    """One piece of work for one process.

    Attributes:
        number: Identifies the task.
        work: A function of `work.WORK`.
        payload: Its keyword arguments, plain data.
        label: For people.
        need: Bytes of memory.
        timeout: Seconds; None for no limit.
    """

    number: int
    work: str
    payload: Mapping[str, Any]
    label: str = ""
    need: int = 0
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a task has no answer.

    Attributes:
        code: Of the error classes, or `crash`, `memory`, `timeout`, `lost`.
        message: What happened.
        hint: What to do about it.
        detail: A traceback or the process's last output, for debugging.
    """

    code: str
    message: str
    hint: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A task that ended on this engine: with an answer, with a failure, or because its process died.

    Attributes:
        task: The task.
        answer: What the work returned; None if it failed.
        failure: What the work raised, or how its process ended.
        died: Whether the process died, so that another attempt may succeed.
        lost: Whether it died with its whole node, for which the task is not responsible.
        seconds: The duration of the work; `peak` is the process's peak memory in bytes, 0 if unknown.
    """

    task: Task
    answer: Any = None
    failure: Failure | None = None
    died: bool = False
    lost: bool = False
    seconds: float = 0.0
    peak: int = 0


@dataclass(frozen=True)
class Node:
    """A machine: its name, how many processes it may run at a time, and its memory in bytes."""

    name: str
    slots: int
    memory: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The current state of one running task, for a display."""

    task: Task
    stage: str = ""
    seconds: float = 0.0
    memory: int = 0


class Engine(Protocol):
    """Runs tasks."""

    def nodes(self) -> Sequence[Node]:
        """The machines that can take work now; may change."""

    def start(self, task: Task, node: str) -> None:
        """Start a task on a node that has a free slot."""

    def poll(self, seconds: float) -> list[Ended]:
        """Wait until a task has ended, `seconds` at most."""

    def kill(self, task: Task) -> None:
        """End a running task; `poll` no longer reports it."""

    def progress(self) -> list[Progress]:
        """The state of every running task."""

    def close(self) -> None:
        """End every process."""


@dataclass
class Running:
    """A task on its node, since when, and which attempt it is, from 1."""

    task: Task
    node: str
    began: float
    attempt: int = 1
    losses: int = field(default=0)
