"""Which model runs next and where: pure functions of sizes.

Large models go first, so that none of them runs alone at the end. A smaller one may pass a larger one that
does not fit at the moment, but cannot delay it for long: every running model is larger and started earlier,
or started later in memory that the waiting one could not use. As soon as one of the former ends, there is
room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attn_inject.zoo.engine import Node, Task

MiB = 2**20

# Bytes of a process that has everything imported, bytes per byte of the model, and bytes for its feature maps
# per `USUAL` positions of its input. Chosen above all measured values; detectors came closest:
# retinanet_resnet50_fpn_v2 took 7517 MiB of 7722 with `full`, and 1402 of 1566 with `structure`.
OWN = 600 * MiB
FACTORS = {"off": 2.2, "structure": 2.2, "full": 5.0}
ACTIVATIONS = {"off": 50 * MiB, "structure": 50 * MiB, "full": 500 * MiB}
USUAL = 224 * 224


def estimate(model_bytes: int, check: str, positions: int = USUAL) -> int:
    """The approximate peak memory of converting a model, in bytes.

    Args:
        model_bytes: Its size.
        check: A key of `request.CHECKS`.
        positions: Pixels of its input, over all frames.
    """
    activations = ACTIVATIONS[check] * max(positions, USUAL) // USUAL
    return OWN + activations + int(FACTORS[check] * model_bytes)


def largest_first(tasks: Iterable[Task]) -> list[Task]:
    """Tasks by need, largest first; equal ones in their order."""
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
    """What runs on which node, updated with each change, since counting thousands of processes is slow."""

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
