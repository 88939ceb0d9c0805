"""A Ray cluster: one actor for each process, made once and used again, one task at a time.

Ray starts actors and reports their death; `schedule` decides what runs where, as on one machine.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from attn_inject.errors import MissingExtraError, UsageError, ZooError
from attn_inject.versions import versions
from attn_inject.zoo.engine import Ended, Failure, Node, Progress, Task

_REACH = 5.0  # seconds to reach the cluster
OTHER_PACKAGES = "packages"  # the code of a task that a node with other packages refused
_FRESH = 2.0  # seconds for which the list of nodes is cached


class RayEngine:
    """Runs tasks on the nodes of a cluster.

    Args:
        address: `auto`, `host:port`, `ray://host:port`, or `local` for a cluster of this machine alone.
        jobs: Processes per node at most; None means one per CPU.
        memory: Bytes per node at most, or a share of the memory that Ray reports; None means all of it.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: There is no cluster, or it cannot be reached.
    """

    def __init__(self, address: str, *, jobs: int | None, memory: int | float | None) -> None:
        self._ray = _connected(address)
        self._jobs, self._memory = jobs, memory
        self._actor_class = self._ray.remote(max_restarts=0, num_cpus=1)(Worker)
        self._idle: dict[str, list[Any]] = {}
        self._busy: dict[int, _Call] = {}
        self._nodes: list[Node] = []
        self._looked = float("-inf")
        self._others: dict[str, str] = {}  # nodes with other packages, and how these differ

    def nodes(self) -> Sequence[Node]:
        """The machines that are alive and have the packages of this one.

        Raises:
            ZooError: The cluster is gone, or no machine of it has these packages.
        """
        if time.monotonic() - self._looked > _FRESH:
            alive = [_node(found, self._jobs, self._memory) for found in self._alive()]
            self._nodes = [node for node in alive if node.slots > 0 and node.name not in self._others]
            self._looked = time.monotonic()
            if self._others and not self._nodes:
                how = next(iter(self._others.values()))
                raise ZooError(
                    f"No node of the cluster has the packages of this machine: {how}.",
                    hint="Install the same versions on every node, and run the same command again.",
                )
        return self._nodes

    def _alive(self) -> list[dict[str, Any]]:
        with _reaching():
            return [found for found in self._ray.nodes() if found["Alive"]]

    def start(self, task: Task, node: str) -> None:
        """Give a task to an idle actor on the node, or to a new one."""
        idle = self._idle.setdefault(node, [])
        actor = idle.pop() if idle else self._new_actor(node)
        self._busy[task.number] = _Call(task, node, actor, actor.perform.remote(task))

    def _new_actor(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        return self._actor_class.options(scheduling_strategy=strategy).remote(versions())

    def poll(self, seconds: float) -> list[Ended]:
        """The tasks that ended, after waiting `seconds` at most.

        Raises:
            ZooError: The cluster is gone.
        """
        if not self._busy:
            time.sleep(seconds)
            return []
        by_answer = {call.answer: call for call in self._busy.values()}
        with _reaching():
            ready, _ = self._ray.wait([*by_answer], num_returns=1, timeout=seconds)
            if ready:  # and all others that have ended by now
                ready, _ = self._ray.wait([*by_answer], num_returns=len(by_answer), timeout=0)
        return [self._hear(by_answer[answer]) for answer in ready]

    def _hear(self, call: _Call) -> Ended:
        del self._busy[call.task.number]
        try:
            ended: Ended = self._ray.get(call.answer)
        except self._ray.exceptions.RayActorError as error:
            return self._died(call, error)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(call.actor)
            return Ended(task=call.task, failure=_crashed(error), died=True)
        if ended.failure is not None and ended.failure.code == OTHER_PACKAGES:
            self._others[call.node] = ended.failure.message
            self._looked = float("-inf")
            self._ray.kill(call.actor)
            return ended
        self._idle.setdefault(call.node, []).append(call.actor)
        return ended

    def _died(self, call: _Call, error: Exception) -> Ended:
        self._looked = float("-inf")
        gone = all(node.name != call.node for node in self.nodes())
        failure = (
            Failure(code="lost", message=f"Its node {call.node[:8]} left the cluster.", detail=str(error))
            if gone
            else _crashed(error)
        )
        if gone:
            self._idle.pop(call.node, None)
        return Ended(task=call.task, failure=failure, died=True, lost=gone)

    def kill(self, task: Task) -> None:
        """End the actor that runs a task."""
        self._ray.kill(self._busy.pop(task.number).actor)

    def progress(self) -> list[Progress]:
        """The running tasks, and for how long they have run."""
        now = time.monotonic()
        return [
            Progress(task=call.task, stage=f"on {call.node[:8]}", seconds=now - call.began)
            for call in self._busy.values()
        ]

    def close(self) -> None:
        """End every actor and leave the cluster."""
        actors = [call.actor for call in self._busy.values()]
        for actor in (*actors, *(actor for idle in self._idle.values() for actor in idle)):
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._ray.kill(actor)
        self._busy, self._idle = {}, {}
        self._ray.shutdown()


@dataclass
class _Call:
    task: Task
    node: str
    actor: Any
    answer: Any
    began: float = field(default_factory=time.monotonic)


class Worker:
    """One process of the cluster; imports everything when it begins.

    Args:
        expected: The versions of the machine that the zoo was started on. Files that other versions make
            may differ, so where others are installed nothing is done.
    """

    def __init__(self, expected: Mapping[str, str]) -> None:
        self._differences = differences(expected, versions())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("attn_inject.zoo.preload")

    def perform(self, task: Task) -> Ended:
        """Do a task; an error is part of the answer."""
        if self._differences:
            failure = Failure(code=OTHER_PACKAGES, message=self._differences)
            return Ended(task=task, failure=failure, died=True, lost=True)
        from attn_inject.zoo.work import perform

        return perform(task)


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """`timm is 1.0.9 there and 1.0.20 here`, for every package that differs; empty if none does."""
    names = sorted(name for name in {*here, *there} if here.get(name) != there.get(name))
    return ", ".join(
        f"{name} is {there.get(name, 'missing')} there and {here.get(name, 'missing')} here" for name in names
    )


@contextmanager
def _reaching() -> Iterator[None]:
    """Ray raises errors of several kinds when the cluster is gone."""
    try:
        yield
    except Exception as error:
        raise ZooError(
            f"The cluster cannot be reached any more: {str(error).strip().partition(chr(10))[0]}.",
            hint="What is finished is kept; run the same command again when the cluster is back.",
        ) from error


def _node(found: dict[str, Any], jobs: int | None, memory: int | float | None) -> Node:
    resources = found.get("Resources", {})
    cpus, has = int(resources.get("CPU", 0)), int(resources.get("memory", 0))
    allowed = memory if isinstance(memory, int) else int(has * (1.0 if memory is None else memory))
    return Node(found["NodeID"], min(cpus, jobs) if jobs else cpus, allowed)


def _crashed(error: Exception) -> Failure:
    return Failure(
        code="crash",
        message="Its process died.",
        hint="The ledger has Ray's message; the logs are in /tmp/ray on the node.",
        detail=str(error)[-2000:],
    )


def _connected(address: str) -> Any:
    """Ray, connected to a cluster."""
    # Ray would send usage reports over the network.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise MissingExtraError(
            "--ray needs Ray, which is not installed.", hint="pip install 'attn-inject[ray]'"
        ) from None
    _check_reach(address)
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "ignore_reinit_error": True}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=None if address == "local" else address, **quiet)
    except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError and others
        raise _unreachable(address, str(error).strip().splitlines()[0].partition(". ")[0]) from error
    return ray


def _check_reach(address: str) -> None:
    """Test the address first, since Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from None


def _unreachable(address: str, reason: str) -> UsageError:
    what = "No Ray cluster is running here" if address == "auto" else f"No Ray cluster answers at {address}"
    return UsageError(
        f"{what}: {reason.rstrip('.')}.",
        hint="Start one with `ray start --head`, and name it with --ray HOST:PORT.",
    )
