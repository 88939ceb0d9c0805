"""Which model runs next, as a function of sizes alone."""

from __future__ import annotations

import random

import pytest

from attn_inject.request import ModelRequest
from attn_inject.zoo.engine import Node, Task
from attn_inject.zoo.schedule import OWN, Load, choose, estimate, largest_first
from attn_inject.zoo.work import size_model


def tasks(*needs):
    return [Task(number=number, work="", payload={}, need=need) for number, need in enumerate(needs)]


@pytest.mark.parametrize(
    ("needs", "free", "chosen"),
    [
        ([9, 5, 1], [("a", 1, 10)], (0, "a")),
        ([9, 5, 1], [("a", 1, 6)], (1, "a")),
        ([9, 5, 1], [("a", 0, 99), ("b", 1, 2)], (2, "b")),
        ([9, 5], [("a", 2, 4)], None),
        ([1], [("a", 0, 10)], None),
        ([5], [("a", 1, 5), ("b", 1, 8)], (0, "b")),
        ([], [("a", 1, 10)], None),
        ([1], [], None),
    ],
)
def test_the_largest_that_fits_goes_where_most_is_free(needs, free, chosen):
    assert choose(tasks(*needs), [Node(*node) for node in free]) == chosen


def test_what_runs_is_taken_off():
    load = Load()
    for node, need in (("a", 4), ("a", 3), ("gone", 9), ("b", 2)):
        load.add(node, need)
    load.remove("b", 2)
    assert load.remaining([Node("a", 2, 10), Node("b", 1, 5)]) == [Node("a", 0, 3), Node("b", 1, 5)]


def test_equal_needs_keep_their_order():
    assert [task.number for task in largest_first(tasks(1, 5, 5, 9))] == [3, 1, 2, 0]


def test_the_sum_of_what_runs_stays_under_the_limit_and_large_ones_begin_first():
    """Random sizes on random machines, ended in random order."""
    rng = random.Random(0)
    for _ in range(200):
        nodes = [Node(str(n), rng.randint(1, 4), rng.randint(10, 40)) for n in range(rng.randint(1, 3))]
        most = max(node.memory for node in nodes)
        waiting = largest_first(tasks(*(rng.randint(1, most) for _ in range(20))))
        largest, begun, running, load = waiting[0], [], [], Load()
        while waiting or running:
            while (chosen := choose(waiting, load.remaining(nodes))) is not None:
                index, node = chosen
                begun.append(waiting.pop(index))
                running.append((node, begun[-1].need))
                load.add(*running[-1])
            assert all(node.slots >= 0 and node.memory >= 0 for node in load.remaining(nodes))
            assert running, "something always fits on an empty machine"
            load.remove(*running.pop(rng.randrange(len(running))))
        assert begun[0] is largest
        assert len(begun) == 20


def test_full_checks_need_more_than_none():
    needs = [estimate(100 * 2**20, check) for check in ("off", "structure", "full")]
    assert needs == sorted(needs)
    assert needs[0] > 100 * 2**20


def test_a_detector_enlarges_its_images():
    sizes = size_model(ModelRequest(name="torchvision/ssdlite320_mobilenet_v3_large"), print)
    assert sizes["positions"] == 320 * 320
    assert size_model(ModelRequest(name="torchvision/r3d_18"), print)["positions"] == 16 * 112 * 112


def test_a_large_input_needs_more():
    usual = estimate(0, "full")
    assert estimate(0, "full", 800 * 800) - OWN == pytest.approx(12.755 * (usual - OWN), rel=1e-4)
    assert estimate(0, "full", 32 * 32) == usual
