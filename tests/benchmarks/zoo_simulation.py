"""10,000 models on 100 nodes, in virtual time: is the driver the bottleneck?

    python -m tests.benchmarks.zoo_simulation [SECONDS ...]

The loop, the scheduler and the ledger are the real ones; what a model takes is drawn from a measured
distribution, and nodes only pretend. What counts is the driver's own time, in seconds of this machine: its
loop, its decisions, and one fsync per model. As long as that stays far below the time of the nodes, they do
not wait for it. What is left out: the network, and messages of Ray, measured by `zoo --ray`.
"""

from __future__ import annotations

import heapq
import random
import sys
import tempfile
import time
from collections.abc import Sequence

from attn_inject.zoo.drive import drive
from attn_inject.zoo.engine import Ended, Node, Progress, Task
from attn_inject.zoo.ledger import open_ledger
from attn_inject.zoo.place import LocalPlace
from attn_inject.zoo.record import Record

MODELS, NODES, SLOTS, MEMORY = 10_000, 100, 4, 16 * 10**9


class Pretended:
    """Nodes whose clock jumps to the next end."""

    def __init__(self, durations: Sequence[float]) -> None:
        self.now = 0.0
        self.busy = 0.0
        self._durations = durations
        self._ends: list[tuple[float, int, Task]] = []
        self._nodes = [Node(f"node{number}", SLOTS, MEMORY) for number in range(NODES)]

    def nodes(self) -> Sequence[Node]:
        return self._nodes

    def start(self, task: Task, node: str) -> None:
        duration = self._durations[task.number]
        self.busy += duration
        heapq.heappush(self._ends, (self.now + duration, task.number, task))

    def poll(self, seconds: float) -> list[Ended]:
        if not self._ends:
            return []
        self.now, _, task = heapq.heappop(self._ends)
        return [
            Ended(task=task, answer={"digest": "0" * 64, "size": 1}, seconds=self._durations[task.number])
        ]

    def kill(self, task: Task) -> None:
        raise AssertionError("nothing takes too long here")

    def progress(self) -> list[Progress]:
        return []

    def close(self) -> None:
        return


def simulate(measured: Sequence[float], *, size: float = 10_000) -> None:
    """Run it and print what it came to.

    Args:
        measured: Seconds of each model, to draw from.
        size: Of a line of the ledger, in characters.
    """
    rng = random.Random(0)
    durations = [rng.choice(measured) for _ in range(MODELS)]
    needs = [int(10**9 * rng.uniform(0.7, 4)) for _ in range(MODELS)]
    tasks = [Task(number=n, work="convert", payload={}, need=needs[n], timeout=3600) for n in range(MODELS)]
    engine = Pretended(durations)
    filling = {"filling": "x" * int(size)}
    began, worked = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder, open_ledger(LocalPlace(folder)) as ledger:
        for finished in drive(engine, tasks, clock=lambda: engine.now):
            ledger.add(_record(finished.task.number, filling))
    driver, worked = time.perf_counter() - began, time.process_time() - worked
    ideal = sum(durations) / (NODES * SLOTS)
    print(
        f"simulated: {MODELS:,} models on {NODES} nodes of {SLOTS} processes take {engine.now:.0f} s "
        f"(at the very best {ideal:.0f} s). The driver needs {driver:.1f} s for all of them, "
        f"{1000 * driver / MODELS:.2f} ms per model with its ledger line on disk, "
        f"{1000 * worked / MODELS:.2f} ms of it processor time"
    )


def _record(number: int, filling: dict[str, str]) -> Record:
    return Record(
        key="0" * 64,
        file=f"timm/model{number}.pt",
        model=f"timm/model{number}",
        attention=("ela-l",),
        placement="after",
        status="done",
        result=filling,
    )


if __name__ == "__main__":
    simulate([float(text) for text in sys.argv[1:]] or [0.5, 1, 2, 4, 8])
