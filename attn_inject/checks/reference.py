"""The untouched model's tensors and outputs, recorded before the modification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from attn_inject.checks.forward import comparable, equal, run
from attn_inject.checks.generic_position import generic_position
from attn_inject.errors import ModelError
from attn_inject.models.digests import tensor_digests
from attn_inject.models.inputs import InputSpec
from attn_inject.sites.recording import Recording

TRIES = 3


@dataclass(frozen=True)
class ReferenceShapes:
    """The untouched model's tensors and output shapes, found without computing anything.

    Attributes:
        digests: One digest per key of the state dict.
        shapes: Of the floating-point tensors that it returns for one sample.
    """

    digests: Mapping[str, str]
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ReferenceOutputs:
    """The untouched model, as full checks compare with it.

    Attributes:
        digests: One digest per key of the state dict.
        evaluation: Output in evaluation mode, small parameters randomised.
        training: The same in training mode.
        seed: Of input, randomisation and forward.
        other_seed: Of a forward in training mode with a different output; None if none was found.
    """

    digests: Mapping[str, str]
    evaluation: tuple[torch.Tensor, ...]
    training: tuple[torch.Tensor, ...]
    seed: int
    other_seed: int | None = None


def reference_shapes(model: nn.Module, recording: Recording) -> ReferenceShapes:
    """Record a model's tensors and output shapes.

    Args:
        model: The untouched model.
        recording: A recorded run of it.

    Raises:
        ModelError: It has no values, or returns nothing that can be compared.
    """
    return ReferenceShapes(_digests(model), recorded_shapes(recording))


def recorded_shapes(recording: Recording) -> tuple[tuple[int, ...], ...]:
    """The shapes of the floating-point tensors that a model returned in a recorded run.

    Raises:
        ModelError: It returned none.
    """
    return tuple(tuple(tensor.shape) for tensor in comparable(recording.calls[0].output))


def reference_outputs(model: nn.Module, inputs: InputSpec, *, seed: int) -> ReferenceOutputs:
    """Record a model's tensors and outputs.

    Args:
        model: The untouched model; it is restored afterwards.
        inputs: How to call it.
        seed: Of input, randomisation and forward.

    Raises:
        ModelError: It has no values, does not run, or returns nothing that can be compared.
    """
    digests = _digests(model)
    with generic_position(model, seed):
        evaluation = run(model, inputs, seed=seed, grad=True)
        training = run(model, inputs, seed=seed, training=True)
        other_seed = _other_seed(model, inputs, training, seed=seed)
    # Without the graph, which would keep every activation alive.
    return ReferenceOutputs(
        digests, tuple(tensor.detach() for tensor in evaluation), training, seed, other_seed
    )


def _digests(model: nn.Module) -> dict[str, str]:
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ModelError(
            "The model is on the meta device, where it has no values that could be compared.",
            hint="Give it values first (to_empty, load_state_dict), or only plan: dry_run (--dry-run).",
        )
    return tensor_digests(model.state_dict())


def _other_seed(
    model: nn.Module, inputs: InputSpec, training: tuple[torch.Tensor, ...], *, seed: int
) -> int | None:
    """A seed with which a forward in training mode differs from the one with `seed`.

    There is none if nothing random is used, and only few if stochastic depth is rare.
    """
    if not any(_is_random(module) for module in model.modules()):
        return None
    for other in range(seed + 1, seed + 1 + TRIES):
        if not equal(run(model, inputs, seed=seed, forward_seed=other, training=True), training):
            return other
    return None


def _is_random(module: nn.Module) -> bool:
    return any(isinstance(p := getattr(module, key, 0.0), float) and 0 < p < 1 for key in ("p", "drop_prob"))
