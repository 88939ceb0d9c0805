"""Running a model for a comparison: the same input, the same seed, the tensors of its output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from attn_inject.errors import ModelError
from attn_inject.models.inputs import ANOTHER_INPUT, InputSpec, dtype_of
from attn_inject.models.randomness import seeded

Tensors = tuple[torch.Tensor, ...]


def run(
    model: nn.Module,
    inputs: InputSpec,
    *,
    seed: int,
    forward_seed: int | None = None,
    training: bool = False,
    batch_size: int,
    grad: bool = False,
) -> Tensors:
    """The floating-point tensors of one forward.

    Args:
        model: Its mode is set to `training`.
        inputs: How to call it.
        seed: Of the input, and of everything random in the forward.
        forward_seed: Of everything random in the forward, if it differs from `seed`.
        training: Whether to run in training mode.
        batch_size: Samples, if the input has a size.
        grad: Whether to record a graph for gradients.

    Raises:
        ModelError: The forward fails, or returns nothing that can be compared.
    """
    model.train(training)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    args, kwargs = inputs.make(
        batch_size, device=str(device), dtype=dtype_of(model), seed=seed, training=training
    )
    with seeded(seed if forward_seed is None else forward_seed), torch.set_grad_enabled(grad):
        try:
            output = model(*args, **kwargs)
        except Exception as error:
            mode = "training" if training else "evaluation"
            raise ModelError(
                f"The model does not run on {inputs.size or 'its example input'} in {mode} mode: "
                f"{type(error).__name__}: {error}",
                hint=ANOTHER_INPUT,
            ) from error
    return comparable(output)


def comparable(output: Any) -> Tensors:
    """The floating-point tensors of an output.

    Raises:
        ModelError: It has none.
    """
    floats = tuple(_floats(output))
    if not floats:
        raise ModelError(
            "The model returns no floating-point tensor, so nothing can be compared.",
            hint="Pass the part of it that returns one, or omit the checks: check off (--check off).",
        )
    return floats


def _floats(output: Any) -> Iterator[torch.Tensor]:
    """The floating-point tensors of an output, including those in an object's attributes."""
    for leaf in pytree.tree_leaves(output):
        if isinstance(leaf, torch.Tensor):
            if leaf.is_floating_point():
                yield leaf
        elif hasattr(leaf, "__dict__"):
            yield from (
                t for t in vars(leaf).values() if isinstance(t, torch.Tensor) and t.is_floating_point()
            )


def equal(left: Tensors, right: Tensors) -> bool:
    """Whether two outputs are equal bit for bit."""
    return len(left) == len(right) and all(map(same, left, right))


def same(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether two tensors are equal bit for bit; what is not a number equals itself."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return torch.equal(left, right) or torch.allclose(left, right, rtol=0, atol=0, equal_nan=True)


def largest_difference(left: Tensors, right: Tensors) -> float:
    """The largest absolute difference of two outputs; infinite where the shapes differ."""
    if [a.shape for a in left] != [b.shape for b in right]:
        return float("inf")
    return max(
        (
            float((a.detach().float() - b.detach().float()).abs().max())
            for a, b in zip(left, right, strict=True)
        ),
        default=0.0,
    )
