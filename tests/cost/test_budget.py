"""Limits and what they allow."""

from __future__ import annotations

import pytest

from attn_inject.cost.budget import Budget, Limit
from attn_inject.cost.cost import Cost
from attn_inject.cost.figures import StatsRow, Timing
from attn_inject.errors import UnknownNameError, UsageError


@pytest.mark.parametrize(
    ("quantity", "text", "total", "delta", "verdict"),
    [
        ("params", "+1%", 1010, 10, True),
        ("params", "+1%", 1011, 11, False),
        ("params", "+1.5%", 1015, 15, True),
        ("params", "+0%", 1000, 0, True),
        ("params", "+0%", 1001, 1, False),
        ("flops", "+2k", 9000, 2000, True),
        ("flops", "+2k", 9000, 2001, False),
        ("flops", "2.5M", 2_500_000, 1, True),
        ("flops", "2.5M", 2_500_001, 1, False),
        ("activations", "+10", 100, 10, True),
        ("latency", "+5%", 1.05, 0.05, True),
        ("latency", "+2ms", 0.1, 0.0021, False),
        ("latency", "30ms", 0.029, 0.02, True),
        ("params", "+1%", 900, -100, True),
    ],
)
def test_limits(quantity, text, total, delta, verdict):
    assert Limit.parse(quantity, text).allows(total, delta) is verdict


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        *(("params", text) for text in ("", "1%", "-1%", "+1x", "+1ms", "+", "k", "+1%%", "one", "+1e3")),
        *(("latency", text) for text in ("+1k", "5", "5%", "+1M")),
    ],
)
def test_what_is_no_limit(quantity, text):
    with pytest.raises(UsageError, match="not a limit for"):
        Limit.parse(quantity, text)


def test_a_budget_is_read_and_written():
    budget = Budget.parse(params="+1%", flops="", latency="+5%")
    assert str(budget) == "--max-params +1% --max-latency +5%"
    assert budget.needs_latency
    assert not Budget.parse()
    with pytest.raises(UnknownNameError, match="param"):
        Budget.parse(param="+1%")


def test_every_limit_counts():
    base, result = Cost(params=100, flops=1000), Cost(params=101, flops=1100)
    assert Budget.parse(params="+1%").exceeded(result, base) == ""
    assert Budget.parse(params="+1%", flops="+5%").exceeded(result, base) == "flops"


def row(**changes):
    figures = {"params": 101, "flops": 10, "activations": 0, "delta_params": 1, "delta_flops": 0}
    values = {"model": "m", "source": "timm", "attention": "se", "placement": "after", **figures}
    return StatsRow(**(values | {"delta_activations": 0} | changes))


def test_rows_are_admitted_by_their_figures():
    assert Budget.parse(params="+1%").admits(row())
    assert not Budget.parse(params="+0.9%").admits(row())
    assert not Budget.parse(params="+1%").admits(row(params=None, reason="no"))


@pytest.mark.parametrize(("ratio", "verdict"), [(1.04, True), (1.06, False), (0.9, True)])
def test_latency_is_judged_by_the_ratio_of_pairs(ratio, verdict):
    timing = Timing(median=1.0, low=0.9, high=1.1, repetitions=9, ratio=ratio)
    assert Budget.parse(latency="+5%").admits(row(latency=timing)) is verdict
