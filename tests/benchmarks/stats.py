"""The cost table beside one fvcore analysis of every modified model, its growth with models, and its memory.

    python -m tests.benchmarks.stats [ROUNDS]

Everything is measured in this process, in turn, imports excluded; what is printed are ratios of medians.
The aims: the default table at least 10 x faster than the analyses; ten backbones at most 12 x one; a second
set of modules on known backbones without the cost of these; under 1.5 GB for any model.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

import attn_inject
from attn_inject.attention import registry
from attn_inject.cost import shapes_only, site_cost
from attn_inject.operate import searched
from attn_inject.surgery import decide

BACKBONES = (
    "resnet50",
    "resnet34",
    "resnext50_32x4d",
    "mobilenetv2_100",
    "efficientnet_b0",
    "regnety_016",
    "convnext_tiny",
    "vit_tiny_patch16_224",
    "swin_tiny_patch4_window7_224",
    "seresnet50",
)
HUGE = ("vit_7b_patch16_dinov3", "aimv2_3b_patch14_448", "eva_giant_patch14_560")


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    torch.set_num_threads(1)
    against_analyses(rounds)
    ten_backbones(rounds)
    for name in HUGE:
        memory(name)


def against_analyses(rounds: int) -> None:
    """The default table and one analysis per row, in turn."""
    names = list(registry.entries())
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds + 1):
        forget()
        ours.append(seconds(lambda: attn_inject.stats()))
        theirs.append(sum(analysis_seconds(name) for name in names if name != "sasa"))
    ours, theirs = ours[1:], theirs[1:]
    table, analyses = statistics.median(ours), statistics.median(theirs)
    print(f"resnet50 x {len(names)} modules: {table:.2f} s, medians of {rounds}")
    print(
        f"  {analyses / table:.1f} x faster than {len(names) - 1} analyses, {analyses:.2f} s (without sasa)"
    )
    sasa = analysis_seconds("sasa")
    print(f"  {(analyses + sasa) / table:.1f} x faster than {len(names)} analyses, {analyses + sasa:.2f} s")


def analysis_seconds(attention: str) -> float:
    """One `FlopCountAnalysis` of a real modified resnet50; building it is not counted."""
    model: nn.Module = attn_inject.inject("resnet50", attention, start="paper", check="off").model
    analysis = FlopCountAnalysis(model, torch.randn(1, 3, 224, 224))
    analysis.set_op_handle(**attn_inject.flop_handles())
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return seconds(analysis.total)


def ten_backbones(rounds: int) -> None:
    """Ten backbones against one, and a second set of modules against the first."""
    one, ten, second = [], [], []
    for _ in range(rounds):
        forget()
        one.append(seconds(lambda: attn_inject.stats(BACKBONES[:1])))
        forget()
        ten.append(seconds(lambda: attn_inject.stats(BACKBONES, ["se", "eca"])))
        second.append(seconds(lambda: attn_inject.stats(BACKBONES, ["ge-theta", "simam"])))
        forget()
        ten[-1] = seconds(lambda: attn_inject.stats(BACKBONES))
    print(f"ten backbones: {ratio(ten, one):.1f} x one, {statistics.median(ten):.2f} s")
    print(f"two more modules on ten known backbones: {ratio(second, ten):.2f} x the first table")


def forget() -> None:
    """As in a new process, but for the imports."""
    for known in (searched._KNOWN, site_cost._COUNTED, shapes_only._ANSWERS, decide._TRIED):
        known.clear()  # type: ignore[attr-defined]


def memory(name: str) -> None:
    """The peak of a process that makes a table of a huge model, read where Linux tells it."""
    code = (
        "import attn_inject\n"
        f"row = attn_inject.stats([{name!r}], ['se', 'cbam']).rows[0]\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(row.params, peak.split()[1])"
    )
    began = time.perf_counter()
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, check=True)
    params, peak = map(int, run.stdout.split())
    took = time.perf_counter() - began
    print(f"{name}: {params / 1e9:.2f} G parameters, peak {peak / 1024:.0f} MiB, {took:.1f} s with imports")


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process, which other work on the machine hardly moves."""
    began = time.process_time()
    work()
    return time.process_time() - began


def ratio(these: Iterable[float], those: Iterable[float]) -> float:
    """Of two medians."""
    return statistics.median(these) / statistics.median(those)


if __name__ == "__main__":
    main()
