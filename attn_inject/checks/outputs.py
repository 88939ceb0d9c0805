"""The modified model's output: shapes and finiteness, equality with an identity start, calls, modes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from attn_inject.checks.forward import Tensors, equal, largest_difference
from attn_inject.checks.modes import Modes, difference_in_modes
from attn_inject.checks.reference import RecordedOutput, ReferenceOutputs
from attn_inject.checks.trial import Trial
from attn_inject.results import Check
from attn_inject.surgery.inserted import inserted_modules

Shape = tuple[int, ...]
_ENORMOUS = 0.25  # power of the largest number of a dtype; 4e9 in float32


def check_shapes(shapes: Sequence[Shape], expected: Sequence[Shape], *, detects: bool = False) -> Check:
    """Output shapes are as before; the number of boxes that a detector finds (`detects`) is not compared."""
    first = 1 if detects else 0
    passed = [shape[first:] for shape in shapes] == [shape[first:] for shape in expected]
    detail = f"shapes {', '.join(map(str, shapes))}" if passed else f"shapes {expected} became {shapes}"
    return Check(name="outputs", passed=passed, detail=detail)


def check_finite(shapes: Check, output: Tensors, expected: Tensors) -> Check:
    """The check of `shapes`, which also fails if values are not finite where the base's are."""
    finite = not shapes.passed or all(
        bool(torch.isfinite(new).all()) or not bool(torch.isfinite(old).all())
        for new, old in zip(output, expected, strict=True)
    )
    if finite:
        return shapes
    return Check(name=shapes.name, passed=False, detail=f"{shapes.detail} with values that are not finite")


def first_not_finite(trial: Trial) -> tuple[str, torch.Tensor] | None:
    """The first inserted module that makes of a finite input an output that is not finite, and that input."""
    found: list[tuple[str, torch.Tensor]] = []

    def look(name: str, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if not found and torch.isfinite(given[0]).all() and not torch.isfinite(output).all():
            found.append((name, given[0].detach()))

    _run_watched(trial, look, training=False)
    return found[0] if found else None


def check_growth(failed: Check, trial: Trial) -> Check:
    """The check of finite values, which passes after all if a module overflows only on an enormous input.

    In a generic position a module that multiplies by its own input squares the activations, block by block;
    the numbers then end, whatever is right or wrong.

    Args:
        failed: What `check_finite` found.
        trial: The modified model.
    """
    where = first_not_finite(trial)
    if where is None:
        return failed
    name, given = where
    largest = float(given.abs().max())
    if largest < torch.finfo(given.dtype).max ** _ENORMOUS:
        return failed
    grown = f"with random norms the activations grow to {largest:.0e} before {name}, where {given.dtype} ends"
    return Check(
        name=failed.name, passed=True, detail=f"{failed.detail.partition(' with values')[0]}; {grown}"
    )


def check_same(name: str, output: Tensors, expected: RecordedOutput, detail: str) -> Check:
    """What can be compared of an output equals the base's, bit for bit.

    Args:
        name: Of the check.
        output: Of the modified model.
        expected: Of the untouched one.
        detail: What the check says if it passes.
    """
    new, old = expected.comparable(output)
    if not equal(new, old):
        failed = f"differs from the base's by {largest_difference(new, old):.3g}"
        return Check(name=name, passed=False, detail=failed)
    if not all(expected.repeats):
        rest = "only the others are compared" if new else "nothing is compared"
        alone = f"{expected.repeats.count(False)} of {len(expected.repeats)} outputs differ"
        detail = f"{alone} between two runs of the base itself, so {rest}"
    return Check(name=name, passed=True, detail=detail)


@dataclass(frozen=True)
class Calls:
    """Calls of the inserted modules in one forward, by qualified name.

    Attributes:
        counts: How often each ran.
        without_graph: Those that ran while the model recorded no graph, so that no gradient can reach them.
    """

    counts: Counter[str]
    without_graph: frozenset[str]


def run_and_count(trial: Trial, *, training: bool) -> tuple[Tensors, Calls]:
    """The output of one forward, and the calls of the inserted modules in it."""
    counts: Counter[str] = Counter()
    without_graph: set[str] = set()

    def count(name: str, *_: object) -> None:
        counts[name] += 1
        if not torch.is_grad_enabled() or torch.is_inference_mode_enabled():
            without_graph.add(name)

    return _run_watched(trial, count, training=training), Calls(counts, frozenset(without_graph))


def _run_watched(trial: Trial, watch: Callable[[str, Any, Any], None], *, training: bool) -> Tensors:
    """The output of one forward; `watch` gets name, arguments and output of each inserted module's call."""

    def hook_of(name: str) -> Any:
        return lambda _, given, output: watch(name, given, output)

    handles = [m.register_forward_hook(hook_of(name)) for name, m in inserted_modules(trial.model).items()]
    try:
        return trial.run(training=training)
    finally:
        for handle in handles:
            handle.remove()


def check_calls(calls: Mapping[str, int], expected: Mapping[str, int]) -> Check:
    """Every inserted module ran exactly as often as its block."""
    wrong = [name for name, count in expected.items() if calls.get(name, 0) != count]
    detail = f"{len(expected)} inserted modules ran once per call of their block"
    if len(expected) == 1:
        detail = "the inserted module ran once per call of its block"
    if wrong:
        detail = f"{wrong[0]} ran {calls.get(wrong[0], 0)} times instead of {expected[wrong[0]]}"
    return Check(name="calls", passed=not wrong, detail=detail)


def check_modes(trial: Trial, training: Tensors, modes: Modes, before: ReferenceOutputs) -> Check:
    """train() and eval() reach what they reached, and everything random in training still is.

    Args:
        trial: The modified model.
        training: Its output in training mode.
        modes: Its modes, as it was given.
        before: The untouched model.
    """
    if wrong := difference_in_modes(trial.model, modes, before.modes):
        return Check(name="modes", passed=False, detail=wrong)
    if before.other_seed is None:
        return Check(name="modes", passed=True, detail="train() and eval() reach every module")
    varies = not equal(trial.run(training=True, forward_seed=before.other_seed), training)
    detail = "dropout and stochastic depth are random in training mode"
    return Check(
        name="modes", passed=varies, detail=detail if varies else "training mode is no longer random"
    )
