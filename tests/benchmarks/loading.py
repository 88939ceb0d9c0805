"""Loading a saved file, compared with the minimum: reading it and building the empty model.

    python -m tests.benchmarks.loading [ROUNDS]

Time: `load(verify=False)` aims at 1.5 x `torch.load(mmap=True)` plus building the empty architecture, and
verifying at no more than hashing the bytes once on top. All of it is timed in one process, in turn, on the
process's own clock. Memory: the peak of a process that loads aims at the imports, the file, and 10 % of it.

A verified model owns its memory; an unverified one looks into the file, and reading is put off until it is
used. So what verifying adds is the difference to a model that is loaded unverified and then copied out of the
file. Before each work the memory that the last one gave up goes back to the system, as if each were the first
in its process: asking for fresh memory can cost more than filling it.
"""

from __future__ import annotations

import ctypes
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import attn_inject
from attn_inject import models
from attn_inject.files import formats
from attn_inject.files.structure_digest import state_digest
from tests.benchmarks.processes import in_turn, median_peak

NAMES = ("resnet50", "vit_small_patch16_224")
BARE, HASHING = "torch.load(mmap=True) and the empty model", "hashing the bytes"
COPIED = "load(verify=False), copied"
IMPORTS = "import torch, timm, torchvision, attn_inject.operate.inject"


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            path = Path(folder) / f"{name}.pt"
            attn_inject.save(attn_inject.inject(name, "ela-l", check="off"), path)
            attn_inject.export(path, path.with_suffix(".safetensors"))
            times(path, rounds)
            memory(path, max(1, rounds // 3))


def times(path: Path, rounds: int) -> None:
    """Seconds of processor time, medians."""
    provenance = formats.read(path).recipe.provenance
    state = formats.read(path, mmap=False).state_dict
    works: dict[str, Callable[[], object]] = {
        BARE: lambda: (
            torch.load(path, mmap=True, weights_only=True),
            models.rebuild(provenance, empty=True),
        ),
        HASHING: lambda: state_digest(state),
    }
    for suffix in formats.SUFFIXES:
        works |= loads(path.with_suffix(suffix), suffix)
    found = in_process(works, rounds)
    print(f"{path.stem}, {path.stat().st_size / 2**20:.0f} MiB, medians of {rounds} rounds")
    for what, seconds in found.items():
        print(f"  {what:<42} {seconds * 1e3:7.1f} ms  {seconds / found[BARE]:5.2f} x")
    for suffix in formats.SUFFIXES:
        what, added = f"{suffix} verifying adds", found[f"{suffix} load()"] - found[f"{suffix} {COPIED}"]
        print(f"  {what:<42} {added * 1e3:7.1f} ms  {added / found[HASHING]:5.2f} x hashing")


def loads(path: Path, suffix: str) -> dict[str, Callable[[], object]]:
    """The ways to load one file."""
    return {
        f"{suffix} load(verify=False)": lambda: attn_inject.load(path, verify=False),
        f"{suffix} {COPIED}": lambda: copied(attn_inject.load(path, verify=False)),
        f"{suffix} load()": lambda: attn_inject.load(path),
    }


def copied(model: nn.Module) -> nn.Module:
    """The model with all tensors in memory of its own."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.detach().clone()
    return model


def in_process(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Each work `rounds` times, in turn, after one round that is not counted."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: None)  # glibc has it
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for count in range(rounds + 1):
        for name, work in works.items():
            trim(0)
            began = time.process_time()
            work()
            if count:
                seconds[name].append(time.process_time() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def memory(path: Path, rounds: int) -> None:
    """Peak memory of whole processes."""
    load = f"{IMPORTS}; import attn_inject; attn_inject.load"
    commands = {"imports": [sys.executable, "-W", "ignore", "-c", IMPORTS]}
    for suffix in formats.SUFFIXES:
        file = str(path.with_suffix(suffix))
        for verify in (True, False):
            code = f"{load}({file!r}, verify={verify})"
            commands[f"{suffix} verify={verify}"] = [sys.executable, "-W", "ignore", "-c", code]
    runs = in_turn(commands, rounds)
    imports = median_peak(runs.pop("imports"))
    for what, found in runs.items():
        above, size = median_peak(found) - imports, path.stat().st_size
        print(f"  peak above imports, {what:<27} {above / 2**20:6.0f} MiB  {above / size:5.2f} x the file")


if __name__ == "__main__":
    main()
