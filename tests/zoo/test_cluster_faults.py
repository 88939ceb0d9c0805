"""The engine of Ray where Ray fails; `python -m tests.reliability.cluster` breaks a real cluster."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from attn_inject.errors import ZooError
from attn_inject.zoo import cluster
from attn_inject.zoo.drive import drive
from attn_inject.zoo.engine import Task
from attn_inject.zoo.work import WORK

TASK = Task(number=0, work="size", payload={}, label="a model")


class StandIn:
    """Ray whose nodes are objects of this process; calls are carried out when they are asked for."""

    exceptions = SimpleNamespace(RayActorError=KeyError, RayError=LookupError)

    def __init__(self, installed):
        self.installed = installed
        self.is_gone = False
        self.killed = []

    def nodes(self):
        self._reach()
        return [
            {"NodeID": name, "Alive": True, "Resources": {"CPU": 1, "memory": 1000}}
            for name in self.installed
        ]

    def wait(self, answers, *, num_returns, timeout):
        self._reach()
        return answers, []

    def get(self, answer):
        return answer()

    def kill(self, actor):
        self._reach()
        self.killed.append(actor)

    def shutdown(self):
        pass

    def _reach(self):
        if self.is_gone:
            raise RuntimeError("GCS is gone\nand more")


@pytest.fixture
def engine(monkeypatch):
    def made(**installed):
        ray = StandIn(installed)
        monkeypatch.setattr(cluster, "_connected", lambda address: ray)
        monkeypatch.setattr(StandIn, "remote", lambda self, **_: lambda worker: worker, raising=False)
        engine = cluster.RayEngine("here", jobs=None, memory=None)

        def new_actor(node):
            monkeypatch.setattr(cluster, "versions", lambda: ray.installed[node])
            worker = cluster.Worker({"timm": "1"})
            remote = SimpleNamespace(remote=lambda task: lambda: worker.perform(task))
            return SimpleNamespace(perform=remote, node=node)

        monkeypatch.setattr(engine, "_new_actor", new_actor)
        monkeypatch.setattr(cluster.importlib, "import_module", lambda name: None)
        return engine, ray

    return made


def test_a_cluster_that_is_gone_is_told_and_left(engine):
    made, ray = engine(one={"timm": "1"})
    made.start(TASK, "one")
    ray.is_gone = True
    with pytest.raises(ZooError, match=r"cannot be reached any more: GCS is gone\.") as caught:
        made.poll(0)
    assert "is kept" in caught.value.hint
    made._looked = float("-inf")
    with pytest.raises(ZooError, match="cannot be reached"):
        made.nodes()
    made.close()


def test_a_node_with_other_packages_is_not_used_and_its_task_is_done_elsewhere(engine, monkeypatch):
    monkeypatch.setitem(WORK, "size", lambda progress: "done")
    made, ray = engine(one={"timm": "2"}, other={"timm": "1"})
    [finished] = drive(made, [TASK])
    assert (finished.answer, finished.attempts, finished.node) == ("done", 1, "other")
    assert [node.name for node in made.nodes()] == ["other"]
    assert [actor.node for actor in ray.killed] == ["one"]


def test_a_cluster_with_other_packages_is_refused_with_their_names(engine):
    made, _ = engine(one={"timm": "2"}, other={})
    with pytest.raises(ZooError, match=r"timm is (2|missing) there and 1 here"):
        [*drive(made, [TASK])]


def test_the_answer_of_a_task_that_was_killed_is_not_waited_for(engine):
    made, _ = engine(one={"timm": "1"})
    made.start(TASK, "one")
    made.kill(TASK)
    assert made.poll(0) == []
