"""Signals at chosen moments: whatever stops a command, its files are whole and no process is left.

    python -m tests.reliability.signals [MOMENTS] [SEED] [COMMAND ...]

Each victim is a fork that runs the program itself: `inject`, `export` and `restore` of a tiny model, and
`zoo`. It gets SIGINT, SIGTERM or SIGHUP, once or twice in a row, at a random part of the time that an
undisturbed run takes. Then its exit code must be 130, 143 or 129 (0 if it was done), its target the old
file or a whole new one, and all of its processes must be gone; one more, undisturbed run must leave nothing
but its files.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

import attn_inject
from attn_inject.cli.main import main as program
from attn_inject.files.exports import program as exported_program
from attn_inject.models.inputs import InputSpec
from tests.zoo.conftest import FACTORIES, digests

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
OLD = b"the old file"
SIZE = 32
MODELS = ("tiny", "other", "plain")
_LONG = 120.0  # seconds in which a victim must be gone


@dataclass(frozen=True)
class Victim:
    """A command that is stopped.

    Attributes:
        arguments: Of the program, without the target.
        suffix: Of the target; "" for a folder.
    """

    arguments: Sequence[str]
    suffix: str

    def command(self, target: Path) -> list[str]:
        """All arguments of the program."""
        way = ["--out", str(target), "--force"] if self.suffix else ["--out-dir", str(target)]
        return [*self.arguments, *way, "--quiet"]

    def is_whole(self, target: Path) -> bool:
        """Whether the target is a complete new file."""
        try:
            if self.suffix == ".pt2":
                exported_program.run(target, InputSpec((3, SIZE, SIZE)).make(1))
            elif self.arguments[0] == "restore":
                torch.load(target, weights_only=True)
            else:
                attn_inject.load(target)
        except Exception:
            return False
        return True


def victims(folder: Path) -> dict[str, Victim]:
    """Everything that writes."""
    size = ["--input-size", str(SIZE)]
    source = folder / "source.pt"
    program(
        ["inject", "test_resnet", "--attn", "se", *size, "--out", str(source), "--check", "off", "--quiet"]
    )
    zoo = [
        "zoo",
        *(FACTORIES + name for name in MODELS),
        "--attn",
        "se",
        *size,
        "--check",
        "off",
        "--jobs",
        "2",
    ]
    return {
        "inject": Victim(["inject", "test_resnet", "--attn", "se", *size], ".pt"),
        "export": Victim(["export", str(source)], ".pt2"),
        "restore": Victim(["restore", str(source)], ".pt"),
        "zoo": Victim(zoo, ""),
    }


@contextmanager
def silent() -> Iterator[None]:
    """In a fork: signals act as at the start of a program, and nothing is printed."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    yield


def start(command: Sequence[str]) -> int:
    """Fork the program, in a process group of its own."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        with silent():
            code = program(command)
    except KeyboardInterrupt:
        code = 130
    finally:
        os._exit(code)


def ended(pid: int) -> int | None:
    """The exit code as a shell has it, or None if the process does not end."""
    late = time.monotonic() + _LONG
    while time.monotonic() < late:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code
        time.sleep(0.01)
    return None


def stop(victim: Victim, target: Path, number: signal.Signals, times: int, after: float) -> list[str]:
    """Signal one victim and list what is wrong; the last entry says how it ended."""
    if victim.suffix:
        target.write_bytes(OLD)
    pid = start(victim.command(target))
    time.sleep(after)
    family = _family(pid)
    for _ in range(times):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        time.sleep(0.005)
    code = ended(pid)
    wrong = [] if code in (0, SIGNALS[number]) else [f"exit code {code}"]
    _, alive = psutil.wait_procs(family, timeout=_LONG)
    wrong += [f"process {process.pid} is left" for process in alive]
    if victim.suffix:
        is_old = target.read_bytes() == OLD
        if not is_old and not victim.is_whole(target):
            wrong.append("the target is neither old nor whole")
        kind = "old" if is_old else "new"
    else:
        kind = f"{len(digests(target))} files"
        wrong += [f"{name} is not whole" for name in digests(target) if not _opens(target / name)]
    hidden = list(target.parent.rglob(".attn-inject-*"))
    return [*wrong, f"exit {code}, {kind}{', hidden file' if hidden else ''}"]


def mended(victim: Victim, target: Path) -> list[str]:
    """What is wrong after one more run."""
    code = ended(start(victim.command(target)))
    wrong = [] if code == (10 if not victim.suffix else 0) else [f"the next run ended with {code}"]
    return wrong + [f"{path.name} is left" for path in target.parent.rglob(".attn-inject-*")]


def _opens(path: Path) -> bool:
    try:
        return bool(attn_inject.describe(path))
    except Exception:
        return False


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def run(moments: int, seed: int, names: Sequence[str] = ()) -> dict[str, tuple[Counter[str], list[str]]]:
    """How the victims of each command ended, and the faults."""
    torch.set_num_threads(1)  # a fork has no other threads
    drawn = random.Random(seed)
    found: dict[str, tuple[Counter[str], list[str]]] = {}
    ways = [(number, times) for number in SIGNALS for times in (1, 2)]
    with tempfile.TemporaryDirectory() as name:
        commands = victims(Path(name))
        for what in names or commands:
            victim, endings, faults = commands[what], Counter[str](), list[str]()
            with tempfile.TemporaryDirectory() as own:
                began = time.monotonic()
                ended(start(victim.command(Path(own) / f"target{victim.suffix}")))
                whole = time.monotonic() - began
            for moment in range(moments):
                number, times = ways[moment % len(ways)]
                with tempfile.TemporaryDirectory() as own:
                    target = Path(own) / f"target{victim.suffix}"
                    *wrong, ending = stop(victim, target, number, times, drawn.uniform(0, 1.05 * whole))
                    endings[ending] += 1
                    faults += [f"{number.name} x{times}: {fault}" for fault in wrong]
                    if moment % 10 == 0 or "hidden" in ending:
                        faults += [f"{number.name} x{times}: {fault}" for fault in mended(victim, target)]
            found[what] = endings, faults
    return found


def main() -> None:
    """Signal and print."""
    moments, seed = (int(text) for text in (sys.argv[1:] + ["100", "0"][len(sys.argv) - 1 :])[:2])
    found = run(moments, seed, sys.argv[3:])
    for what, (endings, faults) in found.items():
        print(f"{what}: {sum(endings.values())} moments, {len(faults)} faults")
        for ending, number in endings.most_common():
            print(f"{number:>5} {ending}")
        for fault, number in Counter(faults).most_common(20):
            print(f"  FAULT {number} x {fault}")
    sys.exit(1 if any(faults for _, faults in found.values()) else 0)


if __name__ == "__main__":
    main()
