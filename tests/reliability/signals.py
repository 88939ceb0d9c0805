"""Signals at chosen moments: whatever stops a command, its files are whole and no process is left.

    python -m tests.reliability.signals [MOMENTS] [SEED] [COMMAND ...]

Each victim is a fork that runs the program itself: `inject`, `export` and `restore` of a tiny model, and
`zoo`. It gets SIGINT, SIGTERM or SIGHUP, once or twice in a row, at a random part of the time that an
undisturbed run takes, until MOMENTS of them came while it ran. Then its exit code must be 130, 143 or 129,
its target the old file or a whole new one, and all of its processes must be gone; one more, undisturbed run
must leave nothing but its files.

Each victim writes down when the program returned. So a signal that came too late is told from one that was
swallowed: a program that ended as usual long after it is a fault.
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
from dataclasses import dataclass, field
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
LARGER = "resnet18"  # a tiny model is restored in too short a time to be hit
_LONG = 120.0  # seconds in which a victim must be gone
_LAST = 0.1  # seconds before its end in which a program no longer reacts, since it is done
_ENDINGS = {False: 0, True: 10}  # of an undisturbed run; the zoo has a model without a site


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
    sources = {name: folder / f"{name}.pt" for name in ("test_resnet", LARGER)}
    for name, source in sources.items():
        program(["inject", name, "--attn", "se", *size, "--out", str(source), "--check", "off", "--quiet"])
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
        "export": Victim(["export", str(sources["test_resnet"])], ".pt2"),
        "restore": Victim(["restore", str(sources[LARGER])], ".pt"),
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


@dataclass(frozen=True)
class Fork:
    """A running victim: its process, and where it writes down when the program returned."""

    pid: int
    told: int

    def returned(self) -> float | None:
        """When the program returned, on the clock of all processes; None if it never did."""
        with os.fdopen(self.told) as file:
            text = file.read()
        return float(text) if text else None


def start(command: Sequence[str]) -> Fork:
    """Fork the program, in a process group of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return Fork(pid, reader)
    code = 1
    try:
        os.setpgid(0, 0)
        with silent():
            code = program(command)
            os.write(writer, str(time.monotonic()).encode())
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


@dataclass(frozen=True)
class Outcome:
    """How a victim ended, what is wrong with that, and whether the signal came while it ran."""

    ending: str
    wrong: list[str]
    is_inside: bool


def stop(victim: Victim, target: Path, number: signal.Signals, times: int, after: float) -> Outcome:
    """Signal one victim."""
    if victim.suffix:
        target.write_bytes(OLD)
    fork = start(victim.command(target))
    time.sleep(after)
    family = [] if victim.suffix else _family(fork.pid)
    hit = time.monotonic()
    for _ in range(times):
        with contextlib.suppress(ProcessLookupError):
            os.kill(fork.pid, number)
        time.sleep(0.005)
    code, returned = ended(fork.pid), fork.returned()
    usual = code == _ENDINGS[not victim.suffix]
    wrong = [] if usual or code == SIGNALS[number] else [f"exit code {code}"]
    if usual and returned is not None and returned > hit + _LAST:
        wrong.append(f"the signal was swallowed: the program went on for {returned - hit:.1f} s")
    _, alive = psutil.wait_procs(family, timeout=_LONG)
    wrong += [f"process {process.pid} is left" for process in alive]
    kind, broken = _left(victim, target)
    hidden = ", hidden file" if [*target.parent.rglob(".attn-inject-*")] else ""
    return Outcome(f"exit {code}, {kind}{hidden}", wrong + broken, returned is None or returned > hit)


def _left(victim: Victim, target: Path) -> tuple[str, list[str]]:
    """What is at the target, and what is wrong with it."""
    if not victim.suffix:
        files = digests(target)
        return f"{len(files)} files", [f"{name} is not whole" for name in files if not _opens(target / name)]
    if target.read_bytes() == OLD:
        return "old", []
    return "new", [] if victim.is_whole(target) else ["the target is neither old nor whole"]


def mended(victim: Victim, target: Path) -> list[str]:
    """What is wrong after one more run."""
    fork = start(victim.command(target))
    code = ended(fork.pid)
    os.close(fork.told)
    wrong = [] if code == _ENDINGS[not victim.suffix] else [f"the next run ended with {code}"]
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


@dataclass
class Tally:
    """What the signals of one command did: how it ended, the faults, and how many came too late."""

    endings: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    late: int = 0


def attack(victim: Victim, moments: int, drawn: random.Random) -> Tally:
    """Stop one command at so many moments while it runs."""
    tally = Tally()
    ways = [(number, times) for number in SIGNALS for times in (1, 2)]
    with tempfile.TemporaryDirectory() as own:
        began = time.monotonic()
        undisturbed = start(victim.command(Path(own) / f"target{victim.suffix}"))
        ended(undisturbed.pid)
        whole = (undisturbed.returned() or time.monotonic()) - began
    while (inside := sum(tally.endings.values())) < moments and tally.late < 10 * moments:
        number, times = ways[inside % len(ways)]
        with tempfile.TemporaryDirectory() as own:
            target = Path(own) / f"target{victim.suffix}"
            outcome = stop(victim, target, number, times, drawn.uniform(0, whole))
            wrong = outcome.wrong
            if inside % 10 == 0 or "hidden" in outcome.ending:
                wrong = wrong + mended(victim, target)
        tally.faults += [f"{number.name} x{times}: {fault}" for fault in wrong]
        if outcome.is_inside:
            tally.endings[outcome.ending] += 1
        else:
            tally.late += 1
    return tally


def run(moments: int, seed: int, names: Sequence[str] = ()) -> Iterator[tuple[str, Tally]]:
    """What the signals did to each command."""
    torch.set_num_threads(1)  # a fork has no other threads
    drawn = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        commands = victims(Path(name))
        for what in names or commands:
            yield what, attack(commands[what], moments, drawn)


def main() -> None:
    """Signal and print."""
    moments, seed = (int(text) for text in (sys.argv[1:] + ["100", "0"][len(sys.argv) - 1 :])[:2])
    is_good = True
    for what, tally in run(moments, seed, sys.argv[3:]):
        inside = sum(tally.endings.values())
        is_good = is_good and inside == moments and not tally.faults
        print(f"{what}: {inside} moments inside, {tally.late} too late, {len(tally.faults)} faults")
        for ending, number in tally.endings.most_common():
            print(f"{number:>5} {ending}")
        for fault, number in Counter(tally.faults).most_common(20):
            print(f"  FAULT {number} x {fault}", flush=True)
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
