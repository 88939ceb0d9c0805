"""Which model runs next and where: pure functions of sizes.

The large ones go first, so that no large one is left for a lonely end. A smaller one may pass a larger one
that does not fit at the moment. It cannot hold it up for long: whatever runs began earlier and is larger, or
began later in memory that the waiting one could not use; as soon as one of the former ends, there is room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attn_inject.zoo.engine import Node, Task

MiB = 2**20

# Measured, see docs/pages/guides/zoo.md: the most of 60 models, rounded up. Bytes for each byte of the
# model, and of a process that has everything imported.
OWN = 600 * MiB
FACTORS = {"off": 2.2, "structure": 2.6, "full": 5.0}


def estimate(model_bytes: int, check: str) -> int:
    """Bytes that converting a model of this size takes at its peak."""
    return OWN + int(FACTORS[check] * model_bytes)


def largest_first(tasks: Iterable[Task]) -> list[Task]:
    """Tasks by need, falling; equal ones in the order given."""
    return sorted(tasks, key=lambda task: -task.need)


def choose(waiting: Sequence[Task], free: Sequence[Node]) -> tuple[int, str] | None:
    """The index of the next task and the node for it, or None if none fits.

    Args:
        waiting: Largest first.
        free: What each node has left.
    """
    open_nodes = sorted((node for node in free if node.slots > 0), key=lambda node: -node.memory)
    if not open_nodes:
        return None
    roomiest = open_nodes[0]
    for index, task in enumerate(waiting):
        if task.need <= roomiest.memory:
            return index, roomiest.name
    return None


def remaining(nodes: Iterable[Node], running: Iterable[tuple[str, int]]) -> list[Node]:
    """What each node has left beside what runs, given as (node, need)."""
    used: dict[str, tuple[int, int]] = {}
    for name, need in running:
        slots, memory = used.get(name, (0, 0))
        used[name] = slots + 1, memory + need
    return [
        Node(n.name, n.slots - used.get(n.name, (0, 0))[0], n.memory - used.get(n.name, (0, 0))[1])
        for n in nodes
    ]
