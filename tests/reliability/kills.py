"""kill -9 at random moments while a file is written: what is left is the old file or a whole new one.

    python -m tests.reliability.kills [KILLS] [SEED] [writing | exporting]

`writing`: saving (.pt and .safetensors), the writing of exports (.pt2 and .onnx) and restoring take turns.
`exporting`: whole exports take turns, from the saved file to the checked export. Each victim is a fork that
writes over an old file and is killed after a random part of the time that one undisturbed run takes. Then the
target must be the old file, byte for byte, or one that opens and holds what was written; and after one more,
whole run, nothing but the target may lie in its folder.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

import attn_inject
from attn_inject.files.atomic import atomic_write
from attn_inject.files.exports import onnx, program
from attn_inject.models.inputs import InputSpec

GOOD = {f"{kind}{hidden}" for kind in ("old", "new") for hidden in ("", " and a hidden file")}
OLD = b"the old file"
MODEL = "resnet10t"
TINY = "tests.zoo.factories:tiny"
SIZE = (3, 64, 64)


@dataclass(frozen=True)
class Work:
    """One way to write a file.

    Attributes:
        suffix: Of the target.
        write: Writes the target, replacing it.
        opens: Whether the target holds what was written; raises whatever an incomplete file leads to.
    """

    suffix: str
    write: Callable[[Path], object]
    opens: Callable[[Path], bool]

    def is_whole(self, path: Path) -> bool:
        """Whether the target is a complete new file."""
        try:
            return self.opens(path)
        except Exception:
            return False


def works(folder: Path, name: str = MODEL) -> dict[str, Work]:
    """Everything that writes, on one small modified model."""
    result = attn_inject.inject(name, "ela-l", input_size=SIZE, check="off")
    model = result.model.eval()
    source = attn_inject.save(model, folder / "source.pt")
    digest = attn_inject.describe(source)["digest"]
    base = attn_inject.restore(source, folder / "base.pt")["tensors"]
    arguments = InputSpec(SIZE).make(2)
    expected = model(*arguments[0]).detach()
    # Made once: in an export, most of the time would go into that.
    exported = program.export(model, arguments, dynamic=True)
    onnx_bytes = onnx.export(model, arguments, dynamic=True)

    def export(path: Path) -> None:
        with atomic_write(path, force=True) as file:
            program.write(exported, file, {})

    def export_onnx(path: Path) -> None:
        with atomic_write(path, force=True) as file:
            file.write(onnx_bytes)

    def opens(path: Path) -> bool:
        attn_inject.load(path)
        return attn_inject.describe(path)["digest"] == digest

    def runs(path: Path) -> bool:
        runner = onnx if path.suffix == ".onnx" else program
        return torch.allclose(runner.run(path, arguments)[0], expected, rtol=1e-3, atol=1e-4)

    def restored(path: Path) -> bool:
        return len(torch.load(path, weights_only=True)) == base

    return {
        "save .pt": Work(".pt", lambda path: attn_inject.save(model, path, force=True), opens),
        "save .safetensors": Work(
            ".safetensors", lambda path: attn_inject.save(model, path, force=True), opens
        ),
        "export .pt2": Work(".pt2", export, runs),
        "export .onnx": Work(".onnx", export_onnx, runs),
        "restore": Work(".pt", lambda path: attn_inject.restore(source, path, force=True), restored),
    }


def whole_exports(folder: Path, name: str = TINY) -> dict[str, Work]:
    """Exports from a saved file, with everything that happens before and after writing."""
    result = attn_inject.inject(name, "ela-l", input_size=SIZE, check="off")
    source = attn_inject.save(result.model.eval(), folder / "source.pt")
    image = InputSpec(SIZE).make(2)
    with torch.no_grad():
        expected = attn_inject.load(source, trust=True)(*image[0])

    def runs(path: Path) -> bool:
        runner = onnx if path.suffix == ".onnx" else program
        return torch.allclose(runner.run(path, image)[0], expected, rtol=1e-3, atol=1e-4)

    def export(path: Path) -> None:
        attn_inject.export(source, path, force=True, trust=True)

    return {f"whole {suffix}": Work(suffix, export, runs) for suffix in (".pt2", ".onnx")}


WAYS = {"writing": works, "exporting": whole_exports}


def kill(work: Work, folder: Path, after: float) -> str:
    """Kill one writer and say what it left: `old`, `new`, or what is wrong."""
    target = folder / f"target{work.suffix}"
    target.write_bytes(OLD)
    victim = os.fork()
    if not victim:
        try:
            work.write(target)
        finally:
            os._exit(0)
    time.sleep(after)
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    left = "hidden file" if len(list(folder.iterdir())) > 1 else ""
    kind = "old" if target.read_bytes() == OLD else ("new" if work.is_whole(target) else "BROKEN")
    work.write(target)
    if [path.name for path in folder.iterdir()] != [target.name] or not work.is_whole(target):
        return f"NOT MENDED after {kind}"
    return f"{kind} and a {left}" if left else kind


def seconds(work: Work, folder: Path) -> float:
    """From a fork to the end of its writing, undisturbed; the exit of the process is not counted."""
    reader, writer = os.pipe()
    victim = os.fork()
    if not victim:
        try:
            work.write(folder / f"target{work.suffix}")
            os.write(writer, str(time.perf_counter()).encode())  # one clock for all processes
        finally:
            os._exit(0)
    began = time.perf_counter()
    os.waitpid(victim, 0)
    os.close(writer)
    with os.fdopen(reader) as told:
        return float(told.read()) - began


def run(kills: int, seed: int, name: str = MODEL, what_is_killed: str = "writing") -> dict[str, Counter[str]]:
    """What was left, for each way to write."""
    torch.set_num_threads(1)  # a fork has no other threads
    moments = random.Random(seed)
    left: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ways = WAYS[what_is_killed](Path(folder), *([name] if name else []))
        lasts: dict[str, float] = {}
        for number in range(kills):
            what = list(ways)[number % len(ways)]
            if what not in lasts or what_is_killed == "writing":  # writing is short, and its time varies
                with tempfile.TemporaryDirectory() as own:
                    lasts[what] = seconds(ways[what], Path(own))
            with tempfile.TemporaryDirectory() as own:
                found = kill(ways[what], Path(own), moments.uniform(0, 1.1 * lasts[what]))
            left.setdefault(what, Counter())[found] += 1
    return left


def main() -> None:
    """Kill and print."""
    kills, seed = (int(text) for text in (sys.argv[1:] + ["200", "0"][len(sys.argv) - 1 :])[:2])
    left = run(kills, seed, what_is_killed=(sys.argv[3:] or ["writing"])[0])
    for what, found in left.items():
        print(f"{what:<18} {sum(found.values()):>4} kills: {', '.join(f'{n} {k}' for k, n in found.items())}")
    wrong = {kind for found in left.values() for kind in found} - GOOD
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
