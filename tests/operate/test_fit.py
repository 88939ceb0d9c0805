"""Selecting sites by a budget."""

from __future__ import annotations

import dataclasses

import pytest

import attn_inject
from attn_inject.cost.budget import Budget, Fit
from attn_inject.cost.cost import Cost
from attn_inject.errors import FitError, NoSiteError, UsageError


def chosen(budget, model="test_resnet", attention="se", **options):
    return attn_inject.fit(model, attention, Budget.parse(**budget), **options)


def test_the_last_sites_come_first_and_what_is_too_dear_is_passed_over():
    # se costs 162, 339, 4,812 and 1,254 parameters at the four blocks.
    assert chosen({"params": "+1300"}).sites == ("layer4.0",)
    assert chosen({"params": "+1600"}).sites == ("layer2.0", "layer4.0")
    assert chosen({"params": "+10k"}).sites == ("layer1.0", "layer2.0", "layer3.0", "layer4.0")
    assert chosen({"params": "+10k", "flops": "+300"}).sites == ("layer2.0",)


@pytest.mark.parametrize(
    ("budget", "options"),
    [
        ({"params": "+1300"}, {}),
        ({"params": "+1600"}, {}),
        ({"params": "+10k"}, {}),
        ({"params": "+5k"}, {"placement": "before-add"}),
    ],
)
def test_the_result_is_what_those_options_cost(budget, options):
    fit = chosen(budget, **options)
    words = fit.selection()
    given = {"where": [], "skip": [], "stage": []}
    for option, text in zip(words[::2], words[1::2], strict=True):
        given[option.removeprefix("--")] += (
            [int(n) for n in text.split(",")] if option == "--stage" else [text]
        )
    report = attn_inject.inject("test_resnet", "se", start="paper", dry_run=True, **given, **options).report
    assert tuple(item.site.name for item in report.insertions) == fit.sites
    assert report.result == fit.result
    assert report.delta == fit.delta


def test_the_shortest_selection_is_named():
    assert chosen({"params": "+10k"}).selection() == ()
    assert chosen({"params": "+1300"}).selection() == ("--stage", "4")
    assert chosen({"params": "+1300"}, "test_resnet", where="layer[34].*").selection() == ("--stage", "4")
    most = Fit(
        model="m",
        source="timm",
        attention="se",
        placement="after",
        budget="",
        sites=("a.1", "b.0"),
        candidates=("a.0", "a.1", "b.0"),
        stages={"a.0": 1, "a.1": 1, "b.0": 2},
        base=Cost(),
        result=Cost(),
    )
    assert most.selection() == ("--skip", "a.0")
    few = dataclasses.replace(
        most, sites=("a.1",), candidates=("a.0", "a.1", "a.2"), stages=dict.fromkeys(("a.0", "a.1", "a.2"), 1)
    )
    assert few.selection() == ("--where", "a.1")


def test_nothing_fits_is_told_with_the_cheapest():
    with pytest.raises(NoSiteError, match=r"cheapest is layer1\.0 with 162 params") as failure:
        chosen({"params": "+100"})
    assert failure.value.exit_code == 6


@pytest.mark.parametrize(
    ("budget", "model", "error", "told"),
    [
        ({}, "test_resnet", UsageError, "no budget"),
        ({"latency": "+5%"}, "test_resnet", UsageError, "measured for a whole model"),
        ({"params": "+5%"}, "resnet1[08]*", UsageError, "models are named"),
        ({"params": "+5%"}, "vgg11", NoSiteError, "no residual block"),
    ],
)
def test_bad_requests_are_told(budget, model, error, told):
    with pytest.raises(error, match=told):
        chosen(budget, model)


def test_a_module_that_fits_no_site_is_told():
    with pytest.raises(FitError, match="out of season"):
        chosen({"params": "+5%"}, attention="tests.operate.test_stats:Refusing")
