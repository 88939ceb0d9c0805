"""A real Ray cluster that is broken while a zoo runs on it.

    python -m tests.reliability.cluster [SCENARIO ...]

Each scenario has a head and two nodes on this machine. `node`: one node is killed in the middle. `head`: the
head is killed; the zoo ends, and a run without the cluster finishes it. `full`: the object store is full
before the zoo begins. `packages`: one node has another version of timm. Then the files are those of an
undisturbed run, nothing whose line was in the ledger was made again, and nothing is left behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.zoo.conftest import FACTORIES, digests

MODELS = ("tiny", "other", "slow", "slow_too")
MODULES = ("se", "eca")
_LONG = 400.0  # seconds in which a zoo must end
_STORE = 80 * 2**20  # bytes of the object store of each node


def command(folder: Path, *more: str) -> list[str]:
    """A zoo of small models."""
    names = [FACTORIES + name for name in MODELS]
    modules = [part for module in MODULES for part in ("--each-attn", module)]
    options = ["--input-size", "32", "--check", "off", "--seed", "3", "--quiet", "--out-dir", str(folder)]
    return [sys.executable, "-W", "ignore", "-m", "attn_inject", "zoo", *names, *modules, *options, *more]


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """Run the zoo as a program."""
    return subprocess.Popen(command(folder, *more), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)


def lines(folder: Path) -> list[dict[str, Any]]:
    """The records in the ledger, in their order."""
    path = folder / "ledger.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in found if "key" in line]


def when(count: int, folder: Path, zoo: subprocess.Popen[bytes]) -> None:
    """Wait until so many outputs are recorded."""
    while len(lines(folder)) < count and zoo.poll() is None:
        time.sleep(0.05)


def cluster() -> tuple[Any, list[Any]]:
    """A head without processors for work, and two nodes with one each."""
    from ray.cluster_utils import Cluster

    common = {"include_dashboard": False, "object_store_memory": _STORE}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **common})
    return made, [made.add_node(num_cpus=1, memory=4 * 2**30, **common)]


def one_more(made: Any, **more: Any) -> Any:
    """The second node."""
    node = made.add_node(
        num_cpus=1, memory=4 * 2**30, include_dashboard=False, object_store_memory=_STORE, **more
    )
    made.wait_for_nodes()
    return node


def kill_node(folder: Path) -> list[str]:
    """One of two nodes is killed when a model was made on each."""
    made, _ = cluster()
    node = one_more(made)
    try:
        zoo = start(folder, "--ray", made.address)
        when(2, folder, zoo)
        made.remove_node(node, allow_graceful=False)
        code = zoo.wait(_LONG)
        return [f"exit {code}", f"{len(lines(folder))} records"]
    finally:
        made.shutdown()


def kill_head(folder: Path) -> list[str]:
    """The head is killed after two models."""
    made, _ = cluster()
    one_more(made)
    try:
        zoo = start(folder, "--ray", made.address)
        when(2, folder, zoo)
        before = len(lines(folder))
        made.remove_node(made.head_node, allow_graceful=False)
        began = time.monotonic()
        code = zoo.wait(_LONG)
        assert zoo.stderr is not None
        said = zoo.stderr.read().decode(errors="replace").strip().splitlines()[:1]
        told = f"exit {code} after {time.monotonic() - began:.0f} s with {before} records: {said}"
    finally:
        made.shutdown()
    return [told, f"without the cluster: exit {start(folder).wait(_LONG)}"]


def fill_store(folder: Path) -> list[str]:
    """The object store is full of arrays that are in use."""
    import numpy
    import ray

    made, _ = cluster()
    one_more(made)
    try:
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        held = [ray.put(numpy.zeros(10 * 2**20, dtype=numpy.uint8)) for _ in range(24)]
        pinned = [ray.get(item) for item in held[:7]]
        code = start(folder, "--ray", made.address).wait(_LONG)
        return [f"exit {code}", f"{len(pinned)} arrays of 10 MiB held in {_STORE >> 20} MiB"]
    finally:
        ray.shutdown()
        made.shutdown()


def other_packages(folder: Path) -> list[str]:
    """One node finds another version of timm."""
    made, _ = cluster()
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "timm-0.0.1.dist-info").mkdir()
        (Path(name) / "timm-0.0.1.dist-info" / "METADATA").write_text("Name: timm\nVersion: 0.0.1\n")
        path = os.pathsep.join([name, *filter(None, sys.path)])
        node = one_more(made, env_vars={"PYTHONPATH": path})
        try:
            code = start(folder, "--ray", made.address).wait(_LONG)
            where = Counter(
                "the other" if line["node"] == node.node_id else "its own" for line in lines(folder)
            )
            return [f"exit {code}", f"made on nodes with packages of: {dict(where)}"]
        finally:
            made.shutdown()


SCENARIOS: dict[str, Callable[[Path], list[str]]] = {
    "node": kill_node,
    "head": kill_head,
    "full": fill_store,
    "packages": other_packages,
}


def faults(folder: Path, expected: dict[str, str]) -> list[str]:
    """What is wrong with a zoo that was finished at last."""
    wrong = [] if digests(folder) == expected else ["the files differ from an undisturbed run"]
    done = Counter(line["key"] for line in lines(folder) if line["status"] == "done")
    wrong += [f"{key[:8]} was made {count} times" for key, count in done.items() if count > 1]
    wrong += [f"{line['file']} failed" for line in lines(folder) if line["status"] != "done"]
    return wrong + [f"{path.name} is left" for path in folder.rglob(".attn-inject-*")]


def main() -> None:
    """Break and print."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_gcs_rpc_server_reconnect_timeout_s"] = "5"  # noqa: SIM112 (the name that Ray reads)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    is_good = True
    with tempfile.TemporaryDirectory() as name:
        start(Path(name) / "quiet").wait()
        expected = digests(Path(name) / "quiet")
        print(f"an undisturbed run makes {len(expected)} files", flush=True)
        for scenario in sys.argv[1:] or SCENARIOS:
            folder, before = Path(name) / scenario, {process.pid for process in psutil.process_iter()}
            told = SCENARIOS[scenario](folder)
            wrong = faults(folder, expected)
            own = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
            _, alive = psutil.wait_procs(own, timeout=30)
            wrong += [f"process {process.pid} is left" for process in alive]
            is_good = is_good and not wrong
            print(f"{scenario}: {len(wrong)} faults; {'; '.join(told)}", flush=True)
            for fault in wrong:
                print(f"  FAULT {fault}", flush=True)
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
