"""The gradients of a model's parameters: which the output reaches, and their values as digests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from attn_inject.checks.forward import Tensors
from attn_inject.models.digests import digest
from attn_inject.results import Check

# `torch.autograd.grad` does not work through it, `backward` does.
_REENTRANT = "CheckpointFunctionBackward"


@dataclass(frozen=True)
class Gradients:
    """What one backward from a model's output gave its trainable parameters.

    Attributes:
        trainable: Names of the parameters that may have one.
        digests: Of each finite gradient by the parameter's name; zeros have no sign.
        reached: Names of the parameters that the output depends on in the graph, or that have a gradient.
        zero: Names of those reached whose gradient is 0 everywhere.
        absent: Why there are no gradients, or "".
    """

    trainable: frozenset[str] = frozenset()
    digests: Mapping[str, str] = field(default_factory=dict)
    reached: frozenset[str] = frozenset()
    zero: frozenset[str] = frozenset()
    absent: str = ""


def gradients_of(output: Tensors, model: nn.Module) -> Gradients:
    """The gradients of a weighted sum of the output; the weights are the same in every call.

    Args:
        output: Of one forward with a graph, which is used up.
        model: The model that gave it; its own `grad` attributes stay as they are.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not any(tensor.requires_grad for tensor in output):
        return Gradients(absent="the output has no graph")
    graph = functions_of(output)
    in_graph = {id(function.variable) for function in graph if hasattr(function, "variable")}
    backward = _accumulated if any(function.name() == _REENTRANT for function in graph) else _gradients
    try:
        found = backward(_loss(output), parameters)
    except RuntimeError as error:
        return Gradients(absent=f"its backward fails ({type(error).__name__}: {_sentence(error)})")
    alive = {name for name, gradient in found.items() if gradient is not None and bool(gradient.any())}
    reached = alive | {name for name, parameter in parameters.items() if id(parameter) in in_graph}
    return Gradients(
        trainable=frozenset(parameters),
        digests={
            # -0 and 0 are equal, but their bytes are not.
            name: digest(gradient + 0.0)
            for name, gradient in found.items()
            if gradient is not None and bool(torch.isfinite(gradient).all())
        },
        reached=frozenset(reached),
        zero=frozenset(reached - alive),
    )


def _sentence(error: Exception) -> str:
    """The beginning of a message; some of torch's are whole paragraphs."""
    return str(error).partition(":")[0].partition("\n")[0]


def check_base_gradients(found: Gradients, again: Callable[[], Gradients], before: Gradients) -> Check:
    """The gradients of the base's parameters are those of the untouched model, bit for bit.

    Args:
        found: Of the modified model.
        again: Takes them once more; called only if they differ.
        before: Of the untouched model.
    """
    name = "base gradients"
    if before.absent:
        return Check(name=name, passed=True, detail=f"cannot be taken of the base: {before.absent}")
    if found.absent:
        return Check(name=name, passed=False, detail=found.absent)
    compared = {key for key in before.trainable if key in before.digests or key not in before.reached}
    different = sorted(key for key in compared if found.digests.get(key) != before.digests.get(key))
    if not different:
        return Check(name=name, passed=True, detail=f"all {len(compared)} bit-equal to the base's")
    repeated = again()
    if any(found.digests.get(key) != repeated.digests.get(key) for key in different):
        return Check(name=name, passed=True, detail="two runs of the model give different ones by themselves")
    more = f" and {len(different) - 1} more" if len(different) > 1 else ""
    detail = f"{different[0]}{more} have another gradient than in the base"
    return Check(name=name, passed=False, detail=detail)


def functions_of(tensors: Iterable[torch.Tensor]) -> set[Any]:
    """Every function in the graphs that end in `tensors`; a leaf's has the leaf as its `variable`."""
    todo: list[Any] = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    seen = set(todo)
    while todo:
        for following, _ in todo.pop().next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                todo.append(following)
    return seen


def _loss(output: Tensors) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    weighted = [
        (tensor.float() * torch.rand(tensor.shape, generator=generator).to(tensor.device)).sum()
        for tensor in output
        if tensor.requires_grad
    ]
    return torch.stack(weighted).sum()


def _gradients(loss: torch.Tensor, parameters: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor | None]:
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return dict(zip(parameters, found, strict=True))


def _accumulated(
    loss: torch.Tensor, parameters: Mapping[str, nn.Parameter]
) -> dict[str, torch.Tensor | None]:
    """The same by `backward`, which works through reentrant checkpoints, too."""
    before = {name: parameter.grad for name, parameter in parameters.items()}
    try:
        for parameter in parameters.values():
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        return {name: parameter.grad for name, parameter in parameters.items()}
    finally:
        for name, parameter in parameters.items():
            parameter.grad = before[name]
