"""Modules named by globs."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from attn_inject import find_sites, inject
from attn_inject.errors import NoSiteError, UsageError
from attn_inject.models.inputs import InputSpec
from attn_inject.request import Plan
from attn_inject.sites.finder import find
from attn_inject.sites.selection import match_modules


class Unit(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x))


class Pyramid(nn.Module):
    """Returns a map under each of two names."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Unit() for _ in range(2))

    def forward(self, x):
        return {"fine": self.blocks[0](x), "coarse": self.blocks[1](nn.functional.max_pool2d(x, 2))}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fpn = nn.Conv2d(4, 4, 1), Pyramid()

    def forward(self, x):
        return self.fpn(self.conv(x))["coarse"]


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("fpn.blocks.*", ["fpn.blocks.0", "fpn.blocks.1"]),
        ("fpn.*", ["fpn.blocks"]),
        ("*", ["conv", "fpn"]),
        ("fpn.blocks.[!0].????", ["fpn.blocks.1.conv", "fpn.blocks.1.norm"]),
        ("fpn.blocks.[0-1]", ["fpn.blocks.0", "fpn.blocks.1"]),
        ("**.conv", ["conv", "fpn.blocks.0.conv", "fpn.blocks.1.conv"]),
        (
            "fpn.**",
            ["fpn.blocks", *(f"fpn.blocks.{i}{end}" for i in (0, 1) for end in ("", ".conv", ".norm"))],
        ),
        ("fpn**1.norm", ["fpn.blocks.1.norm"]),
    ],
)
def test_a_star_stays_within_one_segment(glob, names):
    assert list(match_modules(Net(), [glob])) == names


def test_a_glob_that_would_have_to_cross_dots_says_so():
    with pytest.raises(NoSiteError) as caught:
        match_modules(Net(), ["fpn.*.conv"])
    assert "'fpn.**.conv' matches fpn.blocks.0.conv" in caught.value.hint


@pytest.mark.parametrize(
    "glob", ["[z-a]", "[!]", "[]", "[", "*" * 50 + "Z", "**a" * 50, "*" * 100_000 + "?Z"]
)
def test_any_text_is_a_glob_and_ends(glob):
    with pytest.raises(NoSiteError, match="matches no module"):
        match_modules(Net(), [glob])


def test_globs_of_sites_cross_dots():
    names = [site.name for site in find_sites("test_resnet").named("*.0")]
    assert names == ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]


def test_a_module_that_returns_several_maps_says_which_is_acted_on():
    found = find(Net(), InputSpec((4, 8, 8)), at=["fpn"]).found
    told = "acts on 'coarse' of the 2 maps that it returns: 'fine', 'coarse'"
    assert [item.note for item in found] == [told]
    result = inject(Net(), "se", at="fpn", example_input=torch.randn(2, 4, 8, 8))
    assert told in str(result.report)
    assert not find(Net(), InputSpec((4, 8, 8)), at=["conv"]).found[0].note


@pytest.mark.parametrize("options", [{"at": "*?" * 5000}, {"where": "a" * 2000}, {"skip": ["[" * 2000]}])
def test_a_glob_that_is_longer_than_any_name_is_refused_at_once(options):
    began = time.monotonic()
    with pytest.raises(UsageError, match="has more than 1000 characters") as caught:
        Plan.of("se", **options)
    with pytest.raises(UsageError, match="has more than 1000 characters"):
        Plan.of("*" * 2000 + "=se")
    assert len(caught.value.message) < 200
    assert time.monotonic() - began < 2
