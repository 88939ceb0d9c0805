"""Workers that run out of memory: each is tried again by itself, and the zoo goes on.

    python -m tests.zoo.memory [OUTPUTS OF EACH MODEL]

Every model takes memory while it is built, and is killed with SIGKILL, as Linux does when memory runs out, or
refused more by RLIMIT_AS, if another one is being built meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from attn_inject.zoo import Record, convert
from tests.zoo.conftest import digests
from tests.zoo.factories import tiny

HERE = "tests.zoo.memory:"
_LARGE = 2**36  # bytes
_WAIT = 30.0  # seconds


def killed_beside_others(folder: str, wanted: int) -> nn.Module:
    """Killed if another model is being built at the same time."""
    if _is_beside_another(Path(folder), wanted):
        os.kill(os.getpid(), signal.SIGKILL)
    return tiny()


def refused_beside_others(folder: str, wanted: int) -> nn.Module:
    """Gets no more memory if another model is being built at the same time."""
    if _is_beside_another(Path(folder), wanted):
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_LARGE // 4, before[1]))
        try:
            torch.empty(_LARGE, dtype=torch.uint8)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
    return tiny()


def _is_beside_another(folder: Path, wanted: int) -> bool:
    """Whether another model is being built; the first one waits for it, until that happened often enough."""

    def met() -> int:
        return len([*folder.glob("met-*")])

    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (folder / f"met-{time.monotonic_ns()}").touch()
            return True
        before, late = met(), time.monotonic() + _WAIT
        while before < wanted and met() == before and time.monotonic() < late:
            time.sleep(0.02)
    return False


def run(folder: Path, modules: Sequence[str]) -> list[Record]:
    """The records of a zoo in which two models are built at a time, one of which lacks memory."""
    models = [HERE + "killed_beside_others", HERE + "refused_beside_others"]
    return [
        *convert(
            models,
            each_attn=[*modules],
            model_args={"folder": str(folder), "wanted": 1 + len(modules)},
            out_dir=folder / "zoo",
            input_size=32,
            check="off",
            jobs=2,
            retries=1,
        )
    ]


def main() -> None:
    """Convert and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as name:
        records = run(Path(name), [f"se:reduction={number + 1}" for number in range(count)])
        files = len(digests(Path(name) / "zoo"))
    alone = [record for record in records if record.alone]
    done = [record for record in records if record.is_done]
    print(
        f"{len(records)} outputs, {len(done)} done, {files} files; {len(alone)} were made alone, at attempt 2"
    )
    for record in records:
        if record.failure is not None:
            print(f"  FAULT {record.label}: {record.failure.code}: {record.failure.message}")
    sys.exit(0 if len(done) == len(records) == files and alone else 1)


if __name__ == "__main__":
    main()
