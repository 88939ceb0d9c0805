"""Stages are those that the models' authors count, at every output stride."""

from __future__ import annotations

import pytest

import attn_inject
from tests.nets import build, find_in
from tests.sweeps.stages import difference


@pytest.mark.parametrize("stride", [None, 8, 16])
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_050", "regnetx_002", "test_efficientnet"])
def test_stages_are_timms(name, stride):
    assert difference(name, stride) == ""


def test_a_dilated_resnet_has_four_stages():
    found = find_in(build("resnet50", meta=True, output_stride=8)).found
    assert [sum(item.site.stage == stage for item in found) for stage in (1, 2, 3, 4)] == [3, 4, 6, 3]
    assert {(item.site.height, item.site.width) for item in found if item.site.stage > 1} == {(28, 28)}


def test_the_papers_places_on_a_dilated_resnet():
    """BAM stands at the end of each stage but the last."""
    sites = attn_inject.inject(
        build("resnet50", output_stride=8), "bam", placement="paper", dry_run=True, input_size=(3, 64, 64)
    ).sites
    assert [site.name for site in sites] == ["layer1.2", "layer2.3", "layer3.5"]


@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_resnet50"])
def test_torchvisions_dilated_backbones_have_the_stages_of_their_layers(name):
    sites = attn_inject.find_sites(f"torchvision/{name}", input_size=(3, 64, 64))
    assert {(site.name.split(".")[1], site.stage) for site in sites} == {
        (f"layer{stage}", stage) for stage in (1, 2, 3, 4)
    }
