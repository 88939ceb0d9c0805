"""The main loop, with a simulated engine."""

from __future__ import annotations

from collections import deque

import pytest

from attn_inject.zoo.drive import drive
from attn_inject.zoo.engine import Ended, Failure, Node, Task

CRASH = Failure(code="crash", message="crashed")
MEMORY = Failure(code="memory", message="killed")
LOST = Failure(code="lost", message="node gone")


NODES = (Node("a", 2, 100),)


class Pretence:
    """Ends one running task a poll, as `script` says for its label; one second passes each time."""

    def __init__(self, script, nodes=NODES):
        self.script = {label: deque(ends) for label, ends in script.items()}
        self._nodes = nodes
        self.running: list[Task] = []
        self.started: list[tuple[str, int]] = []
        self.killed: list[str] = []
        self.now = 0.0
        self.most = 0

    def nodes(self):
        return self._nodes

    def start(self, task, node):
        self.running.append(task)
        self.started.append((task.label, task.need))
        self.most = max(self.most, sum(item.need for item in self.running))

    def poll(self, seconds):
        self.now += 1
        for task in self.running:
            end = self.script[task.label][0]
            if end != "hang":
                self.running.remove(task)
                self.script[task.label].popleft()
                return [Ended(task=task, **end)]
        return []

    def kill(self, task):
        self.running.remove(task)
        self.killed.append(task.label)

    def progress(self):
        return []

    def close(self):
        pass


GOOD = {"answer": "fine"}


def go(script, needs=None, *, retries=0, timeout=None, **more):
    engine = Pretence(script, **more)
    tasks = [
        Task(number=n, work="", payload={}, label=label, need=(needs or {}).get(label, 10), timeout=timeout)
        for n, label in enumerate(script)
    ]
    finished = {
        item.task.label: item for item in drive(engine, tasks, retries=retries, clock=lambda: engine.now)
    }
    return engine, finished


def test_everything_finishes_once():
    _, finished = go({label: [GOOD] for label in "abcdef"})
    assert {label: item.answer for label, item in finished.items()} == dict.fromkeys("abcdef", "fine")


def test_a_failure_is_a_result_and_is_not_tried_again():
    engine, finished = go({"a": [{"failure": Failure(code="fit", message="no")}], "b": [GOOD]}, retries=3)
    assert (finished["a"].failure.code, finished["a"].attempts) == ("fit", 1)
    assert finished["b"].answer == "fine"
    assert len(engine.started) == 2


@pytest.mark.parametrize(("retries", "attempts", "answer"), [(0, 1, None), (1, 2, None), (2, 3, "fine")])
def test_what_died_is_tried_again_so_often(retries, attempts, answer):
    dead = {"failure": CRASH, "died": True}
    _, finished = go({"a": [dead, dead, GOOD]}, retries=retries)
    assert (finished["a"].attempts, finished["a"].answer) == (attempts, answer)


def test_who_was_killed_for_memory_gets_the_machine_to_itself():
    engine, finished = go({"a": [{"failure": MEMORY, "died": True}, GOOD], "b": [GOOD] * 2}, retries=1)
    assert finished["a"].answer == "fine"
    assert engine.started[-1] == ("a", 100)
    assert {label: item.alone for label, item in finished.items()} == {"a": True, "b": False}
    assert engine.most <= 100


def test_who_was_refused_memory_is_tried_again_alone_and_then_no_more():
    refused = {"failure": MEMORY}
    _, finished = go({"a": [refused, GOOD], "b": [GOOD] * 2}, retries=1)
    assert (finished["a"].answer, finished["a"].alone, finished["a"].attempts) == ("fine", True, 2)
    _, finished = go({"a": [refused] * 9}, retries=5)
    assert (finished["a"].failure, finished["a"].attempts) == (MEMORY, 2)


def test_a_lost_node_is_no_attempt_but_not_for_ever():
    lost = {"failure": LOST, "died": True, "lost": True}
    _, finished = go({"a": [lost, lost, lost, GOOD]})
    assert (finished["a"].answer, finished["a"].attempts) == ("fine", 1)
    _, finished = go({"a": [lost] * 20})
    assert finished["a"].failure.code == "lost"


def test_a_hang_is_ended_and_the_others_go_on():
    engine, finished = go({"a": ["hang"], "b": [GOOD], "c": [GOOD]}, timeout=5)
    assert finished["a"].failure.code == "timeout"
    assert "5 s" in finished["a"].failure.message
    assert engine.killed == ["a"]
    assert [finished[label].answer for label in "bc"] == ["fine"] * 2


def test_what_no_machine_can_hold_is_not_begun():
    engine, finished = go({"huge": [GOOD], "b": [GOOD]}, {"huge": 101})
    assert (finished["huge"].failure.code, finished["huge"].attempts) == ("memory", 0)
    assert engine.started == [("b", 10)]


def test_the_limit_holds_and_the_largest_begins():
    engine, _ = go({label: [GOOD] for label in "abcd"}, {"a": 30, "b": 80, "c": 60, "d": 20})
    assert engine.started[0] == ("b", 80)
    assert engine.most <= 100
