"""The main loop: start tasks that fit, collect ended ones, retry dead ones, kill those that take too long.

It is the same for every engine, and knows only what `engine.Task` states of a task.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from attn_inject.zoo.engine import Ended, Engine, Failure, Running, Task
from attn_inject.zoo.schedule import Load, choose, largest_first

TICK = 0.25  # seconds between two looks at the clock
_MOST_LOSSES = 5


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished task, which is not tried again.

    Attributes:
        task: The task.
        answer: What the work returned; None if it failed.
        failure: Why it failed, or None.
        seconds: Of the last attempt.
        peak: Memory of the process meanwhile, in bytes, 0 if unknown.
        attempts: How many processes tried.
        node: Where the last one ran.
        alone: Whether nothing else ran there, since an earlier one was killed for its memory.
    """

    task: Task
    answer: Any = None
    failure: Failure | None = None
    seconds: float = 0.0
    peak: int = 0
    attempts: int = 1
    node: str = ""
    alone: bool = False


def drive(
    engine: Engine,
    tasks: Iterable[Task],
    *,
    retries: int = 0,
    tick: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Finished]:
    """Run every task and yield each as it finishes.

    Args:
        engine: Runs them; it is not closed.
        tasks: In any order; those that need most memory start first.
        retries: How often a task whose process died is started again.
        tick: Called a few times a second.
        clock: Returns seconds.
    """
    return _Drive(engine, largest_first(tasks), retries, tick, clock).run()


class _Drive:
    def __init__(
        self,
        engine: Engine,
        waiting: list[Task],
        retries: int,
        tick: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.engine = engine
        self.waiting = waiting
        self.retries = retries
        self.tick = tick
        self.clock = clock
        self.running: dict[int, Running] = {}
        self.load = Load()
        self.looked = clock()
        self.tried: dict[int, tuple[int, int]] = {}  # attempts and losses so far
        self.alone: set[int] = set()

    def run(self) -> Iterator[Finished]:
        while self.waiting or self.running:
            yield from self._refuse_too_large()
            self._start_what_fits()
            for ended in self.engine.poll(TICK):
                yield from self._settle(ended)
            if self.clock() - self.looked >= TICK:
                self.looked = self.clock()
                yield from self._end_what_takes_too_long()
                self.tick()

    def _refuse_too_large(self) -> Iterator[Finished]:
        nodes = self.engine.nodes()
        most = max((node.memory for node in nodes), default=0)
        while nodes and self.waiting and self.waiting[0].need > most:
            task = self.waiting.pop(0)
            yield Finished(task=task, failure=_too_large(task, most), attempts=0)

    def _start_what_fits(self) -> None:
        while self.waiting:
            chosen = choose(self.waiting, self.load.remaining(self.engine.nodes()))
            if chosen is None:
                return
            index, node = chosen
            task = self.waiting.pop(index)
            attempts, losses = self.tried.get(task.number, (0, 0))
            self.running[task.number] = Running(task, node, self.clock(), attempts + 1, losses)
            self.load.add(node, task.need)
            self.engine.start(task, node)

    def _settle(self, ended: Ended) -> Iterator[Finished]:
        running = self.running.pop(ended.task.number, None)
        if running is None:
            return
        self.load.remove(running.node, running.task.need)
        if ended.lost and running.losses < _MOST_LOSSES:
            self._again(running, running.task.need, running.attempt - 1, running.losses + 1)
        elif self._may_succeed_again(ended) and running.attempt <= self.retries:
            self._again(running, self._need_after(ended), running.attempt, running.losses)
        else:
            yield Finished(
                task=running.task,
                answer=ended.answer,
                failure=ended.failure,
                seconds=ended.seconds or self.clock() - running.began,
                peak=ended.peak,
                attempts=running.attempt,
                node=running.node,
                alone=running.task.number in self.alone,
            )

    def _may_succeed_again(self, ended: Ended) -> bool:
        """Whether its process died, or lacked memory while others ran beside it."""
        lacked = ended.failure is not None and ended.failure.code == "memory"
        return (ended.died or (lacked and ended.task.number not in self.alone)) and not ended.lost

    def _need_after(self, ended: Ended) -> int:
        """A process that was killed for its memory, or refused more, runs alone on a node the next time."""
        if ended.failure is not None and ended.failure.code == "memory":
            self.alone.add(ended.task.number)
            return max((node.memory for node in self.engine.nodes()), default=ended.task.need)
        return ended.task.need

    def _again(self, running: Running, need: int, attempts: int, losses: int) -> None:
        task = dataclasses.replace(running.task, need=need)
        self.tried[task.number] = attempts, losses
        self.waiting = largest_first([task, *self.waiting])

    def _end_what_takes_too_long(self) -> Iterator[Finished]:
        now = self.clock()
        for number, running in [*self.running.items()]:
            limit = running.task.timeout
            if limit is None or now - running.began < limit:
                continue
            self.engine.kill(running.task)
            del self.running[number]
            self.load.remove(running.node, running.task.need)
            yield Finished(
                task=running.task,
                failure=_timeout(limit),
                seconds=now - running.began,
                attempts=running.attempt,
                node=running.node,
            )


def _timeout(limit: float) -> Failure:
    return Failure(
        code="timeout",
        message=f"It took longer than {limit:g} s and was stopped.",
        hint="Allow more with --timeout, or leave out --check full.",
    )


def _too_large(task: Task, most: int) -> Failure:
    return Failure(
        code="memory",
        message=f"It needs about {task.need / 1e9:.2f} GB of memory, and {most / 1e9:.2f} GB are allowed.",
        hint="Allow more with --memory-limit, or use less with --check off.",
    )
