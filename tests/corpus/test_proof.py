from __future__ import annotations

import copy
import math
import random
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tests.corpus import proof


@dataclass
class Output:
    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...]
    name: str = "text"


class Restless(nn.Module):
    """Writes into its input, and draws from every generator in training."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.mul_(2)
        return x * random.random() * np.random.rand() * torch.rand(1) if self.training else x


def test_every_tensor_is_found_whatever_holds_it():
    a, b = torch.zeros(1), torch.ones(2)
    nested = OrderedDict(first=Output(a, (b, a)), second=[b, None, {"third": a}])
    assert [t.data_ptr() for t in proof.tensors(nested)] == [t.data_ptr() for t in (a, b, a, b, a)]


def test_small_parameters_and_gains_become_random_and_others_stay():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    model[0].register_parameter("gain", nn.Parameter(torch.zeros(2, 2)))
    weight = model[0].weight.clone()
    proof.randomize(model)
    assert torch.equal(model[0].weight, weight)
    for parameter in (model[0].bias, model[0].gain, model[1].weight, model[1].bias):
        assert ((parameter >= 0.5) & (parameter <= 1.5)).all()


def test_random_outputs_repeat_and_the_example_stays_as_it_was():
    example = (torch.ones(2, 3),)
    first = proof.outputs(Restless(), example, training=True)
    again = proof.outputs(Restless(), example, training=True)
    assert proof.difference(first, again) == ""
    assert torch.equal(proof.outputs(Restless(), example, training=False)[0], torch.full((2, 3), 2.0))
    assert torch.equal(example[0], torch.ones(2, 3))


def test_a_difference_is_named():
    one = torch.ones(2)
    assert proof.difference([one, torch.tensor([math.nan, 1.0])], [one, torch.tensor([math.nan, 1.0])]) == ""
    assert proof.difference([one + 1e-3], [one]).startswith("differs by up to 1.00e-03")
    assert proof.difference([torch.tensor([math.nan])], [torch.tensor([1.0])]) == "differs by up to inf"
    assert proof.difference([one], [one, one]) == "1 tensors instead of 2"
    assert proof.difference([torch.ones(3)], [one]) == "shape (3,) instead of (2,)"
    assert proof.difference([], []) == "no tensor came out"


def test_a_state_may_have_more_but_nothing_else():
    base = nn.BatchNorm1d(3)
    more = copy.deepcopy(base)
    more.extra = nn.Linear(1, 1)
    assert proof.state_difference(more, base) == ""
    assert proof.state_difference(base, more) == "extra.weight is missing"
    more.running_mean += 1
    assert proof.state_difference(more, base) == "running_mean differs"
