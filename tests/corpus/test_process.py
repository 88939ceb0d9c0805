from __future__ import annotations

import os
import time

import psutil

from tests.corpus.process import Limits, in_fork


def telling(tell):
    tell({"step": "one"})
    tell({"step": "two", "sites": 3})


def dying(tell):
    tell({"step": "one"})
    print("the last line", flush=True)
    os._exit(3)


def raising(tell):
    raise KeyError("what is missing")


def hanging(tell):
    tell({"step": "one"})
    time.sleep(60)


def growing(tell):
    tell({"step": "one"})
    held = []
    while True:
        held.append(bytearray(16 << 20))
        time.sleep(0.01)


def test_what_was_told_is_kept():
    facts = in_fork(telling, Limits())
    assert facts["step"] == "two"
    assert facts["sites"] == 3
    assert "killed" not in facts
    assert facts["seconds"] < 60


def test_a_process_that_dies_keeps_what_it_told_and_its_last_line():
    facts = in_fork(dying, Limits())
    assert facts["step"] == "one"
    assert facts["killed"] == "exit code 3: the last line"


def test_an_exception_that_nobody_caught_is_named():
    assert "what is missing" in in_fork(raising, Limits())["killed"]


def test_a_process_that_hangs_is_killed():
    facts = in_fork(hanging, Limits(seconds=0.5))
    assert (facts["step"], facts["killed"]) == ("one", "over 0.5 s")
    assert facts["seconds"] < 30


def test_a_process_that_grows_is_killed():
    grown = (psutil.Process().memory_info().rss >> 20) + 200
    facts = in_fork(growing, Limits(seconds=60, megabytes=grown))
    assert (facts["step"], facts["killed"]) == ("one", f"over {grown} MB")
