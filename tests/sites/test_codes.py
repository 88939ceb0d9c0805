"""Every rejection has a code for programs and a reason for people."""

from __future__ import annotations

import pytest
from torch import nn

import attn_inject
from attn_inject.display.sites_page import sites_document
from attn_inject.models.inputs import InputSpec
from attn_inject.request import Plan
from attn_inject.sites.finder import find
from attn_inject.sites.site import RejectionCode
from attn_inject.surgery.decide import decide, search
from tests.nets import build, find_in
from tests.sites.test_residual import SIZE, Broadcast, Model, Plain, SameTrunk, SumLost, TwoDeepBranches


@pytest.mark.parametrize(
    ("block", "code"),
    [
        (Broadcast, RejectionCode.SHAPES_DIFFER),
        (SumLost, RejectionCode.SUM_UNUSED),
        (SameTrunk, RejectionCode.NO_LIGHTER_SIDE),
        (TwoDeepBranches, RejectionCode.DEEP_SHORTCUT),
    ],
)
def test_the_code_of_an_addition_that_does_not_count(block, code):
    assert {item.name: item.code for item in find(Model(block), InputSpec(SIZE)).rejected}["block"] is code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("mobilenetv2_100", RejectionCode.NO_SHORTCUT),
        ("hrnet_w18_small", RejectionCode.FUSION),
        ("fastvit_t8", RejectionCode.REPARAMETERIZED),
        ("iformer_t", RejectionCode.FIRST_HALF),
    ],
)
def test_the_code_of_a_look_alike(name, code):
    assert code in {item.code for item in find_in(build(name, meta=True)).rejected}


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (Plan.of("ela-l"), RejectionCode.UNREAD_GRID),
        (Plan.of("se", placement="after-conv", where="blocks.5", at="blocks.*"), None),
    ],
)
def test_the_code_of_a_site_that_was_skipped(plan, code):
    model = build("test_vit")
    findings = search(model, InputSpec((3, 160, 160)), plan)
    if code is None:
        with pytest.raises(attn_inject.errors.FitError):
            decide(model, findings, plan, start="paper")
    else:
        assert [item.code for item in decide(model, findings, plan, start="paper").skipped] == [code]


def test_documents_show_the_code_as_text():
    sites = attn_inject.find_sites(nn.Sequential(nn.Conv2d(8, 8, 1), Plain(), SumLost()), input_size=SIZE)
    document = sites_document("net", sites)
    assert {item["name"]: str(item["code"]) for item in document["rejected"]}["2"] == "sum-unused"
