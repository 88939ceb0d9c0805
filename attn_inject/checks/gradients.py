"""A gradient reaches every inserted parameter; at the identity start, `alpha` alone has one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from attn_inject.checks.forward import run
from attn_inject.models.inputs import InputSpec
from attn_inject.results import Check
from attn_inject.surgery.inserted import inserted_modules

HALF_WAY = 0.5
DRAWS = 3


def inserted_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter that was inserted, by its key in the state dict."""
    return {
        f"{name}.{key}": parameter
        for name, module in inserted_modules(model).items()
        for key, parameter in module.named_parameters()
    }


def check_gradients(
    at_start: tuple[torch.Tensor, ...], model: nn.Module, inputs: InputSpec, *, seed: int
) -> Check:
    """Gradients of the inserted parameters, in evaluation mode so that no norm removes a bias's.

    Models with special inputs for training (detectors and their losses) run in training mode.

    Args:
        at_start: The modified model's output in evaluation mode, recorded with a graph.
        model: The modified model.
        inputs: How to call it.
        seed: Of the input.
    """
    parameters = inserted_parameters(model)
    trainable = {key: p for key, p in parameters.items() if p.requires_grad}
    if not trainable:
        return Check(name="gradients", passed=True, detail="no inserted parameter is trainable")
    alphas = {key for key in trainable if key.endswith(".alpha")}
    if inputs.training_example is not None:
        at_start = _run(model, inputs, seed=seed)
    if not any(t.requires_grad for t in at_start):
        return Check(name="gradients", passed=False, detail="the output has no gradient")
    if not alphas:
        dead = _alive_elsewhere(_without_gradient(at_start, trainable), model, inputs, seed=seed)
        return _verdict(dead, len(trainable), "")
    early = _without_gradient(at_start, {key: trainable[key] for key in alphas})
    with _alphas_at(model, HALF_WAY):
        output = _run(model, inputs, seed=seed)
        dead = _alive_elsewhere(_without_gradient(output, trainable), model, inputs, seed=seed)
    return _verdict(early or dead, len(trainable), f" (alpha {HALF_WAY}); at 0 every alpha has one")


def _run(model: nn.Module, inputs: InputSpec, *, seed: int) -> tuple[torch.Tensor, ...]:
    return run(model, inputs, seed=seed, training=inputs.training_example is not None, grad=True)


def _alive_elsewhere(dead: list[str], model: nn.Module, inputs: InputSpec, *, seed: int) -> list[str]:
    """Those of `dead` that still have no gradient when the inserted matrices are drawn again.

    In a bottleneck of two or three hidden units all ReLUs may happen to be closed; this is chance in the
    initialisation, not a fault of the modification.
    """
    if not dead:
        return []
    parameters = inserted_parameters(model)
    matrices = {key: p for key, p in parameters.items() if p.ndim > 1}
    kept = {key: p.detach().clone() for key, p in matrices.items()}
    try:
        for draw in range(DRAWS):
            generator = torch.Generator().manual_seed(seed + draw)
            with torch.no_grad():
                for p in matrices.values():
                    p.copy_(torch.rand(p.shape, generator=generator) * 0.2 - 0.05)
            output = _run(model, inputs, seed=seed)
            dead = _without_gradient(output, {key: parameters[key] for key in dead})
            if not dead:
                break
        return dead
    finally:
        with torch.no_grad():
            for key, p in matrices.items():
                p.copy_(kept[key])


def _verdict(dead: list[str], count: int, circumstance: str) -> Check:
    if dead:
        return Check(
            name="gradients", passed=False, detail=f"no gradient reaches {dead[0]} and {len(dead) - 1} more"
        )
    return Check(
        name="gradients", passed=True, detail=f"reach all {count} inserted parameter tensors{circumstance}"
    )


def _without_gradient(output: tuple[torch.Tensor, ...], parameters: Mapping[str, nn.Parameter]) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    loss = torch.stack(
        [
            (t.float() * torch.rand(t.shape, generator=generator).to(t.device)).sum()
            for t in output
            if t.requires_grad
        ]
    ).sum()
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return [
        key
        for key, gradient in zip(parameters, gradients, strict=True)
        if gradient is None or not bool(gradient.any())
    ]


@contextmanager
def _alphas_at(model: nn.Module, value: float) -> Iterator[None]:
    alphas = [m.alpha for m in inserted_modules(model).values() if m.alpha is not None]
    kept = [alpha.detach().clone() for alpha in alphas]
    with torch.no_grad():
        for alpha in alphas:
            alpha.fill_(value)
    try:
        yield
    finally:
        with torch.no_grad():
            for alpha, before in zip(alphas, kept, strict=True):
                alpha.copy_(before)
