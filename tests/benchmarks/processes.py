"""Whole processes, timed in turn: A, B, A, B, so that a drift of the machine affects both."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One finished process: wall seconds, and its peak memory in bytes."""

    seconds: float
    peak: int


# Linux lets a process begin with the peak of the one that started it, so a small one stands between.
_RUN = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([status, time.perf_counter() - began, peak]))
"""


def run(arguments: Sequence[str], folder: str) -> Run:
    """Run a command in a folder; its output is thrown away, its failure is not."""
    between = [sys.executable, "-S", "-c", _RUN, *arguments]
    told = subprocess.run(between, cwd=folder, stdout=subprocess.PIPE, check=True).stdout
    status, seconds, peak = json.loads(told)
    if status:
        raise SystemExit(f"{' '.join(arguments)} ended with {status}")
    return Run(seconds, peak * (1 if sys.platform == "darwin" else 1024))


def in_turn(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[Run]]:
    """Every command `rounds` times, in turn, after one round that is not counted."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for count in range(rounds + 1):
            for name, arguments in commands.items():
                finished = run(arguments, folder)
                if count:
                    runs[name].append(finished)
    return runs


def median_seconds(runs: Sequence[Run]) -> float:
    """The median wall time."""
    return statistics.median(r.seconds for r in runs)


def median_peak(runs: Sequence[Run]) -> float:
    """The median peak memory, bytes."""
    return statistics.median(r.peak for r in runs)
