"""The peak of a training step, counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attn_inject.cost.training_memory import training_step_bytes
from attn_inject.errors import ModelError
from attn_inject.models.inputs import InputSpec

BATCH, WIDE, NARROW = 4, 1000, 10


class Double(nn.Module):
    """Its gradient needs nothing of its input."""

    def forward(self, x):
        return x * 2


def test_a_linear_layer():
    model = nn.Linear(WIDE, NARROW, bias=False)
    weights, inputs, outputs = WIDE * NARROW, BATCH * WIDE, BATCH * NARROW
    peak = training_step_bytes(model, InputSpec((WIDE,)), batch_size=BATCH)
    # At the end: weights, their gradient, input, output, and the sum with its gradients.
    assert 0 <= peak - 4 * (2 * weights + inputs + outputs) <= 4 * (outputs + 8)


@pytest.mark.parametrize("depth", [1, 5, 20])
def test_activations_that_the_backward_needs_stay(depth):
    model = nn.Sequential(nn.PReLU(), *(nn.Tanh() for _ in range(depth)))
    peak = training_step_bytes(model, InputSpec((WIDE,)), batch_size=BATCH)
    one = 4 * BATCH * WIDE
    # The input, what each Tanh returns, and some that are on their way.
    assert (depth + 1) * one <= peak <= (depth + 6) * one


def test_what_is_not_needed_is_given_back():
    model = nn.Sequential(nn.PReLU(), *(Double() for _ in range(20)))
    peak = training_step_bytes(model, InputSpec((WIDE,)), batch_size=BATCH)
    assert peak <= 7 * 4 * BATCH * WIDE


def test_half_precision_takes_half_and_more_samples_more():
    model, inputs = (
        nn.Sequential(nn.Linear(WIDE, WIDE), nn.ReLU(), nn.Linear(WIDE, NARROW)),
        InputSpec((WIDE,)),
    )
    full = training_step_bytes(model, inputs, batch_size=BATCH)
    assert training_step_bytes(model, inputs, batch_size=BATCH, dtype=torch.bfloat16) == pytest.approx(
        full / 2, rel=0.01
    )
    assert training_step_bytes(model, inputs, batch_size=2 * BATCH) > full
    assert all(not parameter.is_meta and parameter.grad is None for parameter in model.parameters())


def test_a_model_that_asks_for_values_is_told():
    class Choosy(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelError, match="Choosy cannot run on shapes"):
        training_step_bytes(Choosy(), InputSpec((3,)))
