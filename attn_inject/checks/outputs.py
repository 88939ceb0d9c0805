"""The modified model's output: shapes and finiteness, equality with an identity start, calls, modes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from attn_inject.checks.forward import equal, largest_difference, run
from attn_inject.models.inputs import InputSpec
from attn_inject.results import Check
from attn_inject.surgery.inserted import inserted_modules

Shape = tuple[int, ...]
Tensors = tuple[torch.Tensor, ...]


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


def check_identity(name: str, output: Tensors, expected: Tensors) -> Check:
    """The output equals the base's, bit for bit."""
    passed = equal(output, expected)
    detail = "bit-equal to the base" if passed else f"differs by {largest_difference(output, expected):.3g}"
    return Check(name=name, passed=passed, detail=detail)


def count_calls(
    model: nn.Module, inputs: InputSpec, *, seed: int
) -> tuple[tuple[torch.Tensor, ...], Counter[str]]:
    """The output in evaluation mode with its graph, and how often each inserted module ran."""
    calls: Counter[str] = Counter()

    def count(name: str) -> object:
        def hook(*_: object) -> None:
            calls[name] += 1

        return hook

    handles = [m.register_forward_hook(count(name)) for name, m in inserted_modules(model).items()]  # type: ignore[arg-type]
    try:
        return run(model, inputs, seed=seed, grad=True), calls
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


def check_modes(
    model: nn.Module,
    inputs: InputSpec,
    training: tuple[torch.Tensor, ...],
    *,
    seed: int,
    other_seed: int | None,
) -> Check:
    """train() and eval() reach every module, and everything random in training still is.

    Args:
        model: The modified model.
        inputs: How to call it.
        training: Its output in training mode.
        seed: Of the input.
        other_seed: Of a forward with a different output in the untouched model; None if there is none.
    """
    for mode in (True, False):
        model.train(mode)
        if stuck := [name for name, module in model.named_modules() if module.training is not mode]:
            return Check(name="modes", passed=False, detail=f"{stuck[0]} does not follow train()/eval()")
    if other_seed is None:
        return Check(name="modes", passed=True, detail="train() and eval() reach every module")
    again = run(model, inputs, seed=seed, forward_seed=other_seed, training=True)
    varies = not equal(again, training)
    detail = "dropout and stochastic depth are random in training mode"
    return Check(
        name="modes", passed=varies, detail=detail if varies else "training mode is no longer random"
    )
