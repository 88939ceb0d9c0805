"""Three misfortunes of one zoo, run as a program; `python -m tests.zoo.kills` makes a hundred."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time

import psutil

from attn_inject.zoo import convert
from tests.zoo.conftest import FACTORIES, digests
from tests.zoo.kills import MODELS, family, faults, kill_one_worker, start, wait_for_work


def test_interrupted_then_killed_then_maimed_a_zoo_ends_as_if_nothing_had_happened(tmp_path):
    options = {"attn": "se", "input_size": 32, "check": "off", "seed": 3}
    models = [FACTORIES + name for name in MODELS]
    assert all(record.is_done for record in convert(models, out_dir=tmp_path / "quiet", **options))
    expected, folder = digests(tmp_path / "quiet"), tmp_path / "zoo"
    assert len(expected) == 4

    for _ in range(5):  # a zoo that ended before the signal came proves nothing
        shutil.rmtree(folder, ignore_errors=True)
        driver = start(folder)
        wait_for_work(driver, folder)
        processes = family(driver)
        driver.send_signal(signal.SIGINT)
        if driver.wait() != 0:
            break
    assert driver.returncode == 130
    assert psutil.wait_procs(processes, timeout=60)[1] == []
    lines = (folder / "ledger.jsonl").read_text()
    assert not lines or lines.endswith("\n")
    assert sum("key" in json.loads(line) for line in lines.splitlines()) < 4

    driver = start(folder)
    wait_for_work(driver, folder)
    processes = family(driver)
    driver.kill()
    driver.wait()
    assert psutil.wait_procs(processes, timeout=60)[1] == []

    driver = start(folder)
    wait_for_work(driver, folder)
    rng = random.Random(0)
    while driver.poll() is None and not kill_one_worker(driver, rng):
        time.sleep(0.02)
    assert driver.wait() == 0
    assert faults(folder, expected) == []
