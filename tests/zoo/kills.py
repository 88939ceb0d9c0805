"""kill -9 at random moments of a zoo of four tiny models; the next run has to repair everything.

    python -m tests.zoo.kills [KILLS] [driver|worker]

kills the driver, then workers, so often each, or one of them alone, and says what was found. Whatever was
killed: at the end the files are those of an undisturbed run, byte for byte, and nothing was converted again
whose ledger line was written. The tests run a few of these.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.zoo.conftest import FACTORIES, digests

MODELS = ("tiny", "other", "slow", "slow_too")
COMMAND = [
    sys.executable, "-W", "ignore", "-m", "attn_inject", "zoo", *(FACTORIES + name for name in MODELS),
    "--attn", "se", "--input-size", "32", "--check", "off", "--seed", "3", "--jobs", "2", "--retries", "9",
]  # fmt: skip
_A_RUN = 6  # kills of workers


@dataclass
class Tally:
    """What was killed, and what of it was found wrong."""

    kills: int = 0
    runs: int = 0
    wrong: list[str] = field(default_factory=list)


def undisturbed(folder: Path) -> dict[str, str]:
    """The digests that every disturbed zoo has to end with."""
    start(folder).wait()
    return digests(folder)


def kill_drivers(count: int, expected: dict[str, str], rng: random.Random) -> Tally:
    """Kill the driver `count` times; every zoo is started again until it finishes."""
    tally = Tally()
    while tally.kills < count:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "zoo"
            while not _killed_before_its_end(folder, rng, tally, count):
                tally.runs += 1
            tally.runs += 1
            _judge(folder, expected, tally)
    return tally


def _killed_before_its_end(folder: Path, rng: random.Random, tally: Tally, count: int) -> bool:
    """Run a zoo, kill it on the way, and say whether it had finished all the same."""
    driver = start(folder)
    if tally.kills >= count:
        return driver.wait() == 0
    children = wait_for_work(driver, folder) if rng.random() < 0.8 else []
    time.sleep(rng.uniform(0, 1.5))
    children = family(driver) or children
    if driver.poll() is not None:
        return driver.returncode == 0
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    tally.kills += 1
    # A fork server that is still importing hears of its driver's death when it has done so.
    _, alive = psutil.wait_procs(children, timeout=120)
    tally.wrong += [f"process {process.pid} outlived its driver" for process in alive]
    return False


def kill_workers(count: int, expected: dict[str, str], rng: random.Random) -> Tally:
    """Kill workers `count` times, a few in each run; the drivers have to cope by themselves.

    A model whose process was killed at every attempt has failed, as it should, and is made by a rerun.
    """
    tally = Tally()
    while tally.kills < count:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "zoo"
            driver = start(folder)
            wait_for_work(driver, folder)
            before = tally.kills
            while driver.poll() is None and tally.kills < min(count, before + _A_RUN):
                time.sleep(rng.uniform(0, 1))
                tally.kills += kill_one_worker(driver, rng)
            tally.runs += 1
            if driver.wait() != 0:
                tally.runs += 1
                tally.wrong += [] if start(folder).wait() == 0 else ["the rerun failed"]
            _judge(folder, expected, tally)
    return tally


def kill_one_worker(driver: subprocess.Popen[bytes], rng: random.Random) -> int:
    """How many were killed: 1, or 0 if there is none."""
    own = {process.pid for process in _children(driver.pid)}
    workers = [process for process in family(driver) if process.pid not in own]
    if not workers:
        return 0
    try:
        rng.choice(workers).kill()
    except psutil.NoSuchProcess:
        return 0
    return 1


def _judge(folder: Path, expected: dict[str, str], tally: Tally) -> None:
    found = digests(folder)
    if found != expected:
        tally.wrong.append(f"files differ: {sorted(set(found.items()) ^ set(expected.items()))}")
    left = [path.name for path in folder.rglob(".attn-inject-*")]
    tally.wrong += [f"left behind: {name}" for name in left]
    done: Counter[str] = Counter()
    for line in (folder / "ledger.jsonl").read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # torn by a kill
        if record.get("status") == "done":
            done[record["key"]] += 1
    tally.wrong += [f"{key} was converted {n} times" for key, n in done.items() if n != 1]


def faults(folder: Path, expected: dict[str, str]) -> list[str]:
    """What is wrong with a zoo that has finished at last."""
    tally = Tally()
    _judge(folder, expected, tally)
    return tally.wrong


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Begin the zoo, which hears Ctrl-C even where these tests run in the background and ignore it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [*COMMAND, "--out-dir", str(folder)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_work(driver: subprocess.Popen[bytes], folder: Path) -> list[psutil.Process]:
    """Until the ledger says that a run began, or goes on."""
    ledger = folder / "ledger.jsonl"
    size = ledger.stat().st_size if ledger.exists() else 0
    workers: list[psutil.Process] = []
    while driver.poll() is None and len(workers) < 4:
        if not size and ledger.exists() and ledger.stat().st_size:
            break
        workers = family(driver)
        time.sleep(0.02)
    return workers


def family(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The fork server, its helper, and the workers."""
    return [grandchild for child in _children(driver.pid) for grandchild in (child, *_children(child.pid))]


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def main() -> None:
    """Kill, and print what was found."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        expected = undisturbed(Path(name) / "zoo")
    print(f"an undisturbed run makes {len(expected)} files")
    for what, kill in (("driver", kill_drivers), ("worker", kill_workers)):
        if what not in (sys.argv[2:] or [what]):
            continue
        tally = kill(count, expected, rng)
        print(f"{what}: {tally.kills} kills in {tally.runs} runs, {len(tally.wrong)} faults")
        for fault in tally.wrong:
            print(f"  {fault}")


if __name__ == "__main__":
    main()
