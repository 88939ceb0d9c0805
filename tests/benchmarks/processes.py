"""Whole processes, timed in turn: A, B, A, B, so that a drifting machine moves both."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One finished process: wall seconds, and its peak memory in bytes."""

    seconds: float
    peak: int


def run(arguments: Sequence[str], folder: str) -> Run:
    """Run a command in a folder; its output is thrown away, its failure is not."""
    began = time.perf_counter()
    process = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"{' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    scale = 1 if sys.platform == "darwin" else 1024
    return Run(seconds, usage.ru_maxrss * scale)


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
