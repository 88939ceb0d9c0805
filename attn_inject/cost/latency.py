"""How long a forward takes: base and modified model in turn, so that a drift of the machine affects both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from attn_inject.cost.figures import Timing
from attn_inject.errors import ModelError, UsageError, unknown_name
from attn_inject.models.inputs import Arguments, InputSpec
from attn_inject.request import DTYPES

_WARM_UP = 3
_FEWEST, _MOST = 7, 50  # pairs
_ENOUGH = 1.5  # seconds


@dataclass(frozen=True)
class Conditions:
    """The conditions under which a model is measured.

    Attributes:
        device: `cpu`, `cuda`, `cuda:1`, `mps`.
        batch_size: Samples in a batch.
        dtype: A key of `DTYPES`.
        compile: Whether models are compiled with `torch.compile` first.
    """

    device: str = "cpu"
    batch_size: int = 1
    dtype: str = "float32"
    compile: bool = False

    def check(self) -> None:
        """Refuse what this machine does not have.

        Raises:
            UnknownNameError: There is no such dtype.
            UsageError: There is no such device, or no sample.
        """
        if self.dtype not in DTYPES:
            raise unknown_name("dtype", self.dtype, DTYPES)
        if self.batch_size < 1:
            raise UsageError(f"A batch of {self.batch_size} holds no sample.", hint="Give 1 or more.")
        try:
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise UsageError(
                f"There is no device {self.device!r} here: {reason}.",
                hint="Leave out device (--device) for the CPU.",
            ) from error

    @property
    def kind(self) -> torch.dtype:
        """The dtype itself."""
        kind: torch.dtype = getattr(torch, self.dtype)
        return kind

    def place(self, model: nn.Module) -> nn.Module:
        """The model as it is measured, on the device and with the dtype; in place, except for compiling."""
        model = model.to(device=self.device, dtype=self.kind).eval()
        return torch.compile(model) if self.compile else model  # type: ignore[return-value]

    def arguments(self, inputs: InputSpec) -> Arguments:
        """Arguments of one forward."""
        dtype = self.kind

        def convert(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(dtype) if tensor.is_floating_point() else tensor

        made: Arguments = inputs.make(self.batch_size, device=self.device)
        args, kwargs = pytree.tree_map_only(torch.Tensor, convert, made)
        return args, kwargs


def time_in_turn(
    base: nn.Module, modified: nn.Module, inputs: InputSpec, conditions: Conditions
) -> tuple[Timing, Timing]:
    """Time two placed models: base, modified, base, modified.

    Args:
        base: The untouched model, already placed.
        modified: The modified one, already placed.
        inputs: How to call both.
        conditions: How they are run.

    Returns:
        The base's and the modified model's latencies; the second one's ratio is the median of the pairs'.

    Raises:
        ModelError: A model does not run under these conditions.
    """
    args, kwargs = conditions.arguments(inputs)
    with torch.inference_mode():
        try:
            runs = [lambda: base(*args, **kwargs), lambda: modified(*args, **kwargs)]
            for _ in range(_WARM_UP):
                for run in runs:
                    _seconds(run, conditions.device)
            pairs = _pairs(runs, conditions.device)
        except Exception as error:
            raise ModelError(
                f"The model cannot be timed on {conditions.device} in {conditions.dtype}"
                f"{', compiled' * conditions.compile}: {type(error).__name__}: "
                f"{str(error).strip().partition(chr(10))[0]}",
                hint="Another dtype or device (--dtype, --device) may work, or omit compile (--compile).",
            ) from error
    before, after = zip(*pairs, strict=True)
    ratio = statistics.median(modified / base for base, modified in pairs)
    return timing(before), timing(after, ratio=ratio)


def timing(seconds: Sequence[float], *, ratio: float = 1.0) -> Timing:
    """Median and quartiles of several runs."""
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median=median, low=low, high=high, repetitions=len(seconds), ratio=ratio)


def _pairs(runs: Sequence[Callable[[], Any]], device: str) -> list[tuple[float, float]]:
    pairs: list[tuple[float, float]] = []
    began = time.perf_counter()
    while len(pairs) < _FEWEST or (len(pairs) < _MOST and time.perf_counter() - began < _ENOUGH):
        first, second = (_seconds(run, device) for run in runs)
        pairs.append((first, second))
    return pairs


def _seconds(run: Callable[[], Any], device: str) -> float:
    _wait(device)
    began = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: str) -> None:
    """Wait until the device has finished."""
    kind = torch.device(device).type
    if kind != "cpu":
        getattr(torch, kind).synchronize()
