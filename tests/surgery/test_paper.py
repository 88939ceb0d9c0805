"""`--placement paper`: published counts of whole networks, each from one plan."""

from __future__ import annotations

import pytest

import attn_inject
from attn_inject.errors import FitError

RESNET50 = {
    "se": 28_088_024,
    "se:bias=false": 28_071_976,
    "cbam": 28_089_624,
    "cbam:bias=false": 28_073_576,
    "bam": 25_915_099,
    "bam:literal=true": 25_917_793,
    "eca": 25_557_118,
    "sge": 25_559_080,
    "tam": 25_561_832,
    "tam:kernel_size=3": 25_557_992,
    "sa": 25_557_740,
    "gc": 28_078_773,
    "ca": 27_474_864,
    "ca:reduction=16": 29_362_488,
    "ela-t": 25_583_464,
    "ela-b": 25_591_016,
    "ela-s": 25_715_624,
    "ela-l": 25_776_040,
    "gam": 151_368_424,
    "a2": 32_905_256,
    "nam-channel": 25_587_240,
    "nam-spatial": 25_584_766,
    "nam": 25_614_974,
    "ge-theta": 31_106_600,
    "ge-theta-plus": 33_637_592,
    "sasa": 18_015_504,
}


def test_resnet50_as_the_papers_have_it():
    rows = attn_inject.stats("resnet50", list(RESNET50), placement="paper").rows
    assert {row.attention: row.params for row in rows if row.attention} == RESNET50


@pytest.mark.parametrize("model", ["torchvision/mobilenet_v2", "mobilenetv2_100"])
def test_mobilenetv2_as_the_papers_have_it(model):
    """Behind the depthwise convolution of the 16 blocks that expand their input."""
    rows = attn_inject.stats(model, ["ca", "ela-l"], placement="paper").rows[1:]
    assert [(row.attention, row.sites, row.params) for row in rows] == [
        ("ca", 16, 3_950_648),
        ("ela-l", 16, 3_916_904),
    ]


def test_places_by_stage_and_by_block():
    def names(attention: str) -> list[str]:
        result = attn_inject.inject("resnet50", attention, placement="paper", dry_run=True)
        return [site.name for site in result.sites]

    assert names("bam") == ["layer1.2", "layer2.3", "layer3.5"]
    assert names("nl") == ["layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5"]
    assert names("gc")[0] == "layer2.0"
    assert names("spm") == ["layer1.2", "layer2.3", "layer3.5", "layer4.0", "layer4.1", "layer4.2"]


def test_the_report_says_where_the_papers_place_is():
    notes = attn_inject.inject("resnet50", "bam", placement="paper", dry_run=True).report.notes
    source = "(read in code: Jongchan/attention-module@459efad0)"
    where = "after, in stages 1, 2, 3, the last block of each"
    assert f"the paper's placement of bam: {where} {source}." in notes
    notes = attn_inject.inject("resnet50", "spm", placement="paper", dry_run=True).report.notes
    where = "after-conv, the last block of each stage, and every block of stage 4"
    assert any(note.startswith(f"the paper's placement of spm: {where} (read in code: ") for note in notes)
    notes = attn_inject.inject("resnet50", "ema", placement="paper", dry_run=True).report.notes
    assert (
        "the paper's placement of ema: before-add (assumed: the released code is the module alone)." in notes
    )


def test_a_model_without_the_papers_places_is_refused():
    with pytest.raises(FitError, match="The paper's placement does not occur in this model") as caught:
        attn_inject.inject("vit_tiny_patch16_224", "gc", placement="paper", dry_run=True)
    assert caught.value.exit_code == 7
