"""What runs the work: the promises between the driver and an engine, as plain values.

An engine has nodes, each with places for processes and with memory. It starts a task on a node, says when
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
        number: Names the task.
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
    """Why there is no answer.

    Attributes:
        code: Of the error classes, or `crash`, `memory`, `timeout`, `lost`.
        message: What happened.
        hint: What to do about it.
        detail: A traceback or the process's last words, for whoever looks into it.
    """

    code: str
    message: str
    hint: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A task that is over on this engine: with an answer, a failure, or without a process.

    Attributes:
        task: Which.
        answer: What the work returned; None if it failed.
        failure: What the work raised, or what became of its process.
        died: Whether the process died; another attempt may fare better.
        lost: Whether it died with its whole node, and the task had no part in it.
        seconds: That the work took; peak the process's memory meanwhile, in bytes, 0 if unknown.
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
    """What one running task does now, for a display."""

    task: Task
    stage: str = ""
    seconds: float = 0.0
    memory: int = 0


class Engine(Protocol):
    """Runs tasks."""

    def nodes(self) -> Sequence[Node]:
        """The machines that can take work now; may change."""

    def start(self, task: Task, node: str) -> None:
        """Begin a task on a node that has a free place."""

    def poll(self, seconds: float) -> list[Ended]:
        """Wait until something ended, `seconds` at most."""

    def kill(self, task: Task) -> None:
        """End a running task; `poll` does not tell of it any more."""

    def progress(self) -> list[Progress]:
        """What every running task does."""

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
