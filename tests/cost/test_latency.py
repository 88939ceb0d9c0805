"""Timing in turn: order, spread, ratio and what cannot be timed."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from attn_inject.cost import latency
from attn_inject.cost.latency import Conditions, time_in_turn, timing
from attn_inject.errors import ModelError, UnknownNameError, UsageError
from attn_inject.models.inputs import InputSpec


class Sleeper(nn.Module):
    def __init__(self, seconds, diary, name):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seconds, self.diary, self.name = seconds, diary, name

    def forward(self, x):
        self.diary.append((self.name, tuple(x.shape), x.dtype))
        time.sleep(self.seconds)
        return x


def test_models_run_in_turn_and_the_ratio_is_of_pairs(monkeypatch):
    monkeypatch.setattr(latency, "_ENOUGH", 0.0)
    diary = []
    base, modified = Sleeper(0.01, diary, "base"), Sleeper(0.02, diary, "modified")
    conditions = Conditions(batch_size=3, dtype="bfloat16")
    models = conditions.place(base), conditions.place(modified)
    before, after = time_in_turn(*models, InputSpec((3, 8, 8)), conditions)
    names = [name for name, _, _ in diary]
    assert names == ["base", "modified"] * (len(names) // 2)
    assert {entry[1:] for entry in diary} == {((3, 3, 8, 8), torch.bfloat16)}
    assert before.ratio == 1.0
    assert 1.5 < after.ratio < 2.5
    assert 0.01 <= before.low <= before.median <= before.high < 0.02 <= after.median
    assert before.repetitions == after.repetitions == latency._FEWEST


def test_quartiles():
    told = timing([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (told.low, told.median, told.high, told.repetitions) == (2.0, 3.0, 4.0, 5)


@pytest.mark.parametrize(
    ("conditions", "error"),
    [
        (Conditions(dtype="int8"), UnknownNameError),
        (Conditions(batch_size=0), UsageError),
        (Conditions(device="cuda:77"), UsageError),
        (Conditions(device="nowhere"), UsageError),
    ],
)
def test_conditions_that_cannot_be_had(conditions, error):
    with pytest.raises(error):
        conditions.check()


def test_a_model_that_fails_is_told():
    class Failing(nn.Module):
        def forward(self, x):
            raise RuntimeError("not in half precision")

    with pytest.raises(ModelError, match="timed on cpu in float16: RuntimeError: not in half"):
        time_in_turn(Failing(), Failing(), InputSpec((3, 8, 8)), Conditions(dtype="float16"))
