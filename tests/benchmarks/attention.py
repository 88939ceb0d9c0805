"""Each attention module beside timm's module of the same name, or beside its formula where timm has none.

    python -m tests.benchmarks.attention [NAME ...] [--rounds 5] [--threads 1] [--compiled] [--device cpu]
                                         [--maps 16x256x56x56,...]

One line per map: forward and backward together, medians of runs in turn, ours / theirs; and the same for the
peak of what is allocated above the map and the parameters. Both aim at 1 or less. SASA is measured against
windows that are unfolded, at 16x64x56x56; its memory aims at 1/4. A single map runs in eval mode, since a
batch norm over one position has no statistics.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from attn_inject.attention import registry
from attn_inject.attention.factory import create_attention
from tests.benchmarks.formulas import FORMULAS

MAPS = "16x256x56x56,1x256x56x56,16x2048x7x7,1x2048x7x7"
SASA_MAPS = "16x64x56x56,1x64x56x56"
TIMM = {
    "se": "timm:se:rd_ratio=0.0625,rd_divisor=1",
    "eca": "timm:eca",
    "ca": "timm:coord",
    "cbam": "timm:cbam:rd_ratio=0.0625,rd_divisor=1",
    "nl": "timm:nl:rd_ratio=0.5",
    "gc": "timm:gca:rd_ratio=0.0625,rd_divisor=1",
    "sk": "timm:sk:rd_ratio=0.0625,rd_divisor=1",
}
Call = Callable[[torch.Tensor], torch.Tensor]


def main() -> None:
    """Measure and print."""
    options = _options()
    torch.set_num_threads(options.threads)
    names = options.names or [entry.name for entry in registry.entries().values() if entry.is_built_in]
    mode = "compiled" if options.compiled else "eager"
    print(f"{mode}, {options.device}, {options.threads} threads, medians of {options.rounds} rounds")
    print(f"{'module':<15} {'map':<15} {'beside':<8} {'ms':>8} {'theirs':>8} {'ratio':>6} {'memory':>7}")
    for name in names:
        maps = options.maps or (SASA_MAPS if name == "sasa" else MAPS)
        for text in maps.split(","):
            shape = tuple(int(length) for length in text.split("x"))
            print(measure(name, shape, options), flush=True)


def measure(name: str, shape: tuple[int, ...], options: argparse.Namespace) -> str:
    """One line of the table."""
    ours, theirs, beside = pair(name, shape, options.device)
    if options.compiled:
        ours, theirs = torch.compile(ours), torch.compile(theirs)
    x = torch.randn(shape, device=options.device, requires_grad=True)
    grad = torch.randn(shape, device=options.device)
    seconds = in_turn(
        [lambda: run(ours, x, grad), lambda: run(theirs, x, grad)], options.rounds, options.device
    )
    peaks = [peak(call, x, grad, options.device) for call in (ours, theirs)]
    text = "x".join(str(length) for length in shape)
    return (
        f"{name:<15} {text:<15} {beside:<8} {seconds[0] * 1e3:8.1f} {seconds[1] * 1e3:8.1f}"
        f" {seconds[0] / seconds[1]:6.2f} {peaks[0] / peaks[1]:7.2f}"
    )


def pair(name: str, shape: tuple[int, ...], device: str) -> tuple[Call, Call, str]:
    """Our module, what it is measured against, and what that is called."""
    channels, size = shape[1], (shape[2], shape[3])
    module = create_attention(name, channels=channels, size=size).to(device)
    module.train(shape[0] > 1)
    if name in TIMM:
        theirs = create_attention(TIMM[name], channels=channels).to(device).train(shape[0] > 1)
        return module, theirs, "timm"
    formula = FORMULAS[name]
    return module, lambda x: formula(module, x), "formula"


def run(call: Call, x: torch.Tensor, grad: torch.Tensor) -> None:
    """Forward and backward."""
    x.grad = None
    call(x).backward(grad)


def in_turn(calls: list[Callable[[], None]], rounds: int, device: str) -> list[float]:
    """The median seconds of each call, after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in calls]
    for round_ in range(rounds + 1):
        for at, call in enumerate(calls):
            start = _now(device)
            call()
            if round_:
                seconds[at].append(_now(device) - start)
    return [statistics.median(measured) for measured in seconds]


def peak(call: Call, x: torch.Tensor, grad: torch.Tensor, device: str) -> int:
    """Bytes that one run allocates above what was there before it, at its highest."""
    run(call, x, grad)  # so that every parameter has its gradient already
    x.grad = None
    if device != "cpu":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run(call, x, grad)
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(profile_memory=True) as profile:
        run(call, x, grad)
    changes = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = highest = 0
    for change in sorted(changes, key=lambda event: event.start_ns()):
        held += change.nbytes()
        highest = max(highest, held)
    return highest


def _now(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--maps", default="", help=f"N x C x H x W, several joined by commas; {MAPS}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
