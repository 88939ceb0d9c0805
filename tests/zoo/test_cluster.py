"""A real Ray head and two worker nodes on loopback; one is killed while it converts."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

import pytest

from attn_inject.errors import MissingExtraError, UsageError
from attn_inject.zoo import convert
from attn_inject.zoo.cluster import RayEngine
from attn_inject.zoo.ledger import read_ledger
from attn_inject.zoo.manifest import Options, make_zoo
from attn_inject.zoo.place import LocalPlace
from attn_inject.zoo.run import NullWatcher, preview
from tests.zoo.conftest import FACTORIES, digests

NAMES = ("tiny", "other", "slow", "slow_too", "plain")


@pytest.fixture(scope="module")
def cluster():
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    nothing = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **nothing})
    nodes = [cluster.add_node(num_cpus=1, memory=4 * 2**30, **nothing) for _ in range(2)]
    cluster.wait_for_nodes()
    yield cluster, nodes
    cluster.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def options(folder, **more):
    models = [FACTORIES + name for name in NAMES]
    return {"attn": "se", "out_dir": folder, "input_size": 32, "check": "off", "models": models} | more


def test_a_node_is_lost_and_its_model_is_made_on_another(cluster, tmp_path):
    running, nodes = cluster
    dry_run = preview(make_zoo([Options(options(str(tmp_path / "zoo"), ray=running.address))]), NullWatcher())
    assert [node.slots for node in dry_run.nodes] == [1, 1]
    assert [node.memory for node in dry_run.nodes] == [4 * 2**30] * 2

    class Killer(NullWatcher):
        """Kills a node as soon as two models are at work."""

        thread = None

        def progress(self, at_work):
            if self.thread is None and len(at_work) == 2:
                self.thread = threading.Thread(
                    target=running.remove_node, args=(nodes[0],), kwargs={"allow_graceful": False}
                )
                self.thread.start()

    killer = Killer()
    settings = options(tmp_path / "zoo", ray=running.address, model_args={})
    records = {record.file: record for record in convert(**settings, watcher=killer)}
    killer.thread.join()
    failed = [record.failure.code for record in records.values() if not record.is_done]
    assert failed == ["no-site"]
    ledger = read_ledger(LocalPlace(str(tmp_path / "zoo")))
    assert {f: r.digest for f, r in ledger.records.items() if r.is_done} == digests(tmp_path / "zoo")

    here = {r.file: r.digest for r in convert(**options(tmp_path / "here")) if r.is_done}
    assert here == digests(tmp_path / "zoo")
    again = [*convert(**options(tmp_path / "zoo"))]
    assert {record.file: record.reused for record in again if record.is_done} == dict.fromkeys(here, True)


def test_no_cluster_is_told_at_once(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(UsageError, match=rf"No Ray cluster answers at 127\.0\.0\.1:{port}"):
        RayEngine(f"127.0.0.1:{port}", jobs=None, memory=None)
    assert time.monotonic() - began < 10


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'attn-inject\[ray\]'"):
        [*convert(**options(tmp_path, ray="auto"))]


def test_a_cluster_cannot_reach_this_process(tmp_path):
    with pytest.raises(UsageError, match="exists in one process"):
        [*convert(**options("memory://zoo", ray="auto"))]
