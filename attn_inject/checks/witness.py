"""What the untouched model is and does, noted before the operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from attn_inject.checks.forward import run
from attn_inject.checks.generic import generic_position
from attn_inject.digest import tensor_digests
from attn_inject.inputs import InputSpec


@dataclass(frozen=True)
class Witness:
    """The untouched model, as the checks compare with it.

    Attributes:
        digests: One digest per key of the state dict.
        evaluation: Output in evaluation mode, small parameters randomised; empty for structure checks.
        training: The same in training mode.
        seed: Of input, randomisation and forward.
    """

    digests: Mapping[str, str]
    evaluation: tuple[torch.Tensor, ...]
    training: tuple[torch.Tensor, ...]
    seed: int


def witness(model: nn.Module, inputs: InputSpec, *, seed: int, full: bool) -> Witness:
    """Note what a model is and does.

    Args:
        model: The untouched model; it is as before afterwards.
        inputs: How to call it.
        seed: Of input, randomisation and forward.
        full: Whether to run it in both modes; otherwise in evaluation mode only.
    """
    digests = tensor_digests(model.state_dict())
    with generic_position(model, seed):
        evaluation = run(model, inputs, seed=seed, grad=full)
        training = run(model, inputs, seed=seed, training=True) if full else ()
    # Without the graph, which would keep every activation alive.
    return Witness(digests, tuple(tensor.detach() for tensor in evaluation), training, seed)
