"""A few kills and interruptions of real runs; `python -m tests.fleet.kills` makes many."""

from __future__ import annotations

import json
import random
import signal
import time

import pytest

from tests.fleet.conftest import digests
from tests.fleet.kills import _family, _start, _wait_for_work, kill_drivers, kill_workers, undisturbed


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    found = undisturbed(tmp_path_factory.mktemp("undisturbed") / "zoo")
    assert len(found) == 4
    return found


def test_a_killed_driver_goes_on_where_it_stopped(expected):
    tally = kill_drivers(1, expected, random.Random(1))
    assert (tally.kills, tally.wrong) == (1, [])


def test_a_killed_worker_is_replaced(expected):
    tally = kill_workers(2, expected, random.Random(1))
    assert (tally.kills, tally.wrong) == (2, [])


def test_ctrl_c_ends_everything_with_130_and_the_next_run_goes_on(expected, tmp_path):
    folder = tmp_path / "zoo"
    driver = _start(folder)
    _wait_for_work(driver, folder)
    time.sleep(0.4)
    family = _family(driver)
    driver.send_signal(signal.SIGINT)
    assert driver.wait() == 130
    deadline = time.monotonic() + 10
    while any(process.is_running() for process in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [process for process in family if process.is_running()]
    text = (folder / "ledger.jsonl").read_text()
    assert text.endswith("\n")
    noted = [line for line in map(json.loads, text.splitlines()) if "key" in line]
    assert len(noted) < 4
    assert _start(folder).wait() == 0
    assert digests(folder) == expected
