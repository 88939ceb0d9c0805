"""Which model runs next and where: pure functions of sizes.

The large ones go first, so that no large one is left for a lonely end. A smaller one may pass a larger one
that does not fit at the moment. It cannot hold it up for long: whatever runs began earlier and is larger, or
began later in memory that the waiting one could not use; as soon as one of the former ends, there is room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attn_inject.zoo.engine import Node, Task

MiB = 2**20

# Bytes of a process that has everything imported, bytes for each byte of the model, and room for what its
# layers hand on. Made to stay above what was seen: 24 small models with `structure`, ten of 5 to 90 M
# parameters with `full`, of which efficientnet_b3 came nearest (1328 MiB, where this says 1434). A model with
# far larger inputs may need more.
OWN = 600 * MiB
FACTORS = {"off": 2.2, "structure": 2.6, "full": 5.0}
ACTIVATIONS = {"off": 0, "structure": 100 * MiB, "full": 600 * MiB}


def estimate(model_bytes: int, check: str) -> int:
    """Bytes that converting a model of this size takes at its peak, about."""
    return OWN + ACTIVATIONS[check] + int(FACTORS[check] * model_bytes)


def largest_first(tasks: Iterable[Task]) -> list[Task]:
    """Tasks by need, falling; equal ones in the order given."""
    return sorted(tasks, key=lambda task: -task.need)


def choose(waiting: Sequence[Task], free: Sequence[Node]) -> tuple[int, str] | None:
    """The index of the next task and the node for it, or None if none fits.

    Args:
        waiting: Largest first.
        free: What each node has left.
    """
    roomiest = max((node for node in free if node.slots > 0), key=lambda node: node.memory, default=None)
    if roomiest is None:
        return None
    for index, task in enumerate(waiting):
        if task.need <= roomiest.memory:
            return index, roomiest.name
    return None


class Load:
    """What runs on which node, kept as it changes: with thousands of processes a count would be slow."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[int, int]] = {}

    def add(self, node: str, need: int) -> None:
        """A task began."""
        slots, memory = self._used.get(node, (0, 0))
        self._used[node] = slots + 1, memory + need

    def remove(self, node: str, need: int) -> None:
        """A task ended."""
        slots, memory = self._used[node]
        self._used[node] = slots - 1, memory - need

    def remaining(self, nodes: Iterable[Node]) -> list[Node]:
        """What each node has left."""
        free = []
        for node in nodes:
            slots, memory = self._used.get(node.name, (0, 0))
            free.append(Node(node.name, node.slots - slots, node.memory - memory))
        return free
