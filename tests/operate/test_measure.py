"""Measured columns through the public API."""

from __future__ import annotations

import pytest
import torch

import attn_inject
from attn_inject.cost import latency
from attn_inject.cost.figures import value
from tests.nets import build


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(latency, "_ENOUGH", 0.0)


def test_latency_and_memory_of_each_row():
    base, se = attn_inject.stats(["test_resnet"], "se", latency=True, memory=True, batch_size=2).rows
    assert base.latency.ratio == 1.0
    assert 0.1 < se.latency.ratio < 10
    assert se.latency.low <= se.latency.median <= se.latency.high
    assert value(se, "delta_latency") == pytest.approx(se.latency.median * (1 - 1 / se.latency.ratio))
    assert value(base, "delta_latency") == 0
    assert base.delta_memory == 0
    # The gate keeps at least the map that it multiplies: 32 x 40 x 40 and smaller, twice.
    assert se.delta_memory > 4 * 2 * 32 * 40 * 40
    assert se.memory == base.memory + se.delta_memory
    document = attn_inject.stats(["test_resnet"], "se", latency=True).to_json(("latency",))
    assert set(document["rows"][1]["latency"]) == {"median", "low", "high", "repetitions", "ratio"}


def test_an_object_is_measured_and_left_alone():
    model = build("test_resnet")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rows = attn_inject.stats([model], ["se"], latency=True, dtype="bfloat16").rows
    assert rows[1].latency is not None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not [name for name in model.state_dict() if "attn_inject" in name]


def test_a_latency_budget_measures_what_the_other_limits_leave():
    rows = attn_inject.stats(
        ["test_resnet"], ["se", "gam"], budget={"params": "+5%", "latency": "+900%"}
    ).rows
    assert [row.attention for row in rows] == [None, "se"]
    assert rows[1].latency is not None


def test_a_model_without_a_module_that_fits_is_timed_alone():
    [base, row] = attn_inject.stats(["test_resnet"], "tests.operate.test_stats:Refusing", latency=True).rows
    assert base.latency.ratio == 1.0
    assert (row.latency, row.memory) == (None, None)
