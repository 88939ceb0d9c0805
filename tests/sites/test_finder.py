"""Sites of real models, counted by hand from the papers' depths and the libraries' own stage lists."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from attn_inject.errors import ModelError, NoSiteError
from attn_inject.models.inputs import InputSpec
from attn_inject.sites.finder import IN_THE_MODEL, NO_SHORTCUT, find
from attn_inject.sites.site import Reason, Rejection
from tests.nets import build, find_in, kinds, size_of

# model: blocks in each stage, class, layout. Stages are numbered by map size.
DEPTHS = {
    "resnet18": ([2, 2, 2, 2], "BasicBlock", "NCHW"),
    "resnet50": ([3, 4, 6, 3], "Bottleneck", "NCHW"),
    "resnext50_32x4d": ([3, 4, 6, 3], "Bottleneck", "NCHW"),
    "wide_resnet50_2": ([3, 4, 6, 3], "Bottleneck", "NCHW"),
    "regnety_002": ([1, 1, 4, 7], "Bottleneck", "NCHW"),
    "convnext_tiny": ([3, 3, 9, 3], "ConvNeXtBlock", "NCHW"),
    "vit_tiny_patch16_224": ([12], "Block", "NLC"),
    "swin_tiny_patch4_window7_224": ([2, 2, 6, 2], "SwinTransformerBlock", "NHWC"),
    "dm_nfnet_f0": ([1, 2, 6, 3], "NormFreeBlock", "NCHW"),
    "torchvision/resnet18": ([2, 2, 2, 2], "BasicBlock", "NCHW"),
    "torchvision/resnet50": ([3, 4, 6, 3], "Bottleneck", "NCHW"),
    "torchvision/convnext_tiny": ([3, 3, 9, 3], "CNBlock", "NCHW"),
    "torchvision/swin_t": ([2, 2, 6, 2], "SwinTransformerBlock", "NHWC"),
    "torchvision/vit_b_16": ([12], "EncoderBlock", "NLC"),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_depths(name):
    depths, block, layout = DEPTHS[name]
    found = kinds(find_in(build(name, meta=True)))
    assert found == Counter({(block, layout, stage): n for stage, n in enumerate(depths, 1)})


def test_torchvision_regnet_which_cannot_be_built_on_meta():
    found = kinds(find_in(build("torchvision/regnet_y_400mf")))
    assert found == Counter({("ResBottleneckBlock", "NCHW", s): n for s, n in enumerate([1, 3, 6, 6], 1)})


@pytest.mark.parametrize(
    "name", ["mobilenetv2_100", "mobilenetv3_large_100", "efficientnet_b0", "torchvision/mobilenet_v2"]
)
def test_inverted_residuals_with_a_shortcut(name):
    """Exactly the blocks whose own flag says that they have a shortcut."""
    model = build(name, meta=True)
    expected = {
        key
        for key, module in model.named_modules()
        if getattr(module, "has_skip", getattr(module, "use_res_connect", False))
    }
    assert {item.site.name for item in find_in(model).found} == expected
    assert expected


def test_inception_resnet_v2():
    found = kinds(find_in(build("inception_resnet_v2", meta=True)))
    assert found == Counter(
        {("Block35", "NCHW", 1): 10, ("Block17", "NCHW", 2): 20, ("Block8", "NCHW", 3): 10}
    )


def test_tiny_vit():
    model = build("tiny_vit_5m_224", meta=True)
    found = find_in(model)
    blocks = {k for k, m in model.named_modules() if type(m).__name__ in ("TinyVitBlock", "MBConv")}
    assert {item.site.name for item in found.found} == blocks


def test_hrnet_has_blocks_and_no_fusions():
    model = build("hrnet_w18_small", meta=True)
    findings = find_in(model)
    blocks = {k for k, m in model.named_modules() if type(m).__name__ in ("BasicBlock", "Bottleneck")}
    assert {item.site.name for item in findings.found} == blocks
    assert {"stage2.0", "stage3.0", "stage4.0"} <= {item.name for item in findings.rejected}


@pytest.mark.parametrize("name", ["densenet121", "vgg11", "torchvision/vgg11", "torchvision/squeezenet1_0"])
def test_models_without_residual_blocks(name):
    assert find_in(build(name, meta=True)).found == ()


def test_prefixes_and_grids_of_tokens():
    site = find_in(build("vit_tiny_patch16_224", meta=True)).found[0].site
    assert (site.channels, site.height, site.width, site.prefix) == (192, 14, 14, 1)
    wide = build("vit_tiny_patch16_224", meta=True, img_size=(160, 320))
    site = find(wide, InputSpec((3, 160, 320))).found[0].site
    assert (site.height, site.width, site.prefix) == (10, 20, 1)
    registers = build("vit_small_patch14_reg4_dinov2", meta=True, img_size=224)
    site = find(registers, InputSpec((3, 224, 224))).found[0].site
    assert (site.height, site.width, site.prefix) == (16, 16, 5)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "torchvision/swin_t", "mambaout_femto"])
def test_layout_does_not_depend_on_the_size(name):
    """Two sizes, one of them not square, agree on layout and channels."""
    model = build(name, meta=True)
    square = find(model, InputSpec((3, 224, 224)))
    wide = find(model, InputSpec((3, 192, 256)))
    describe = [(i.site.name, i.site.layout, i.site.channels) for i in square.found]
    assert describe == [(i.site.name, i.site.layout, i.site.channels) for i in wide.found]
    assert all(i.site.height * 4 == i.site.width * 3 for i in wide.found)


def test_a_map_as_wide_as_it_has_channels():
    """14x14x14 says nothing by its shape; the last layer does."""

    class Block(nn.Module):
        def __init__(self, f):
            super().__init__()
            self.f = f

        def forward(self, x):
            return x + self.f(x)

    class Channels(nn.Module):
        def __init__(self, last):
            super().__init__()
            self.block = Block(nn.Linear(14, 14) if last else nn.Conv2d(14, 14, 1))

        def forward(self, x):
            return self.block(x)

    inputs = InputSpec((14, 14, 14))
    assert [i.site.layout for i in find(Channels(True), inputs).found] == ["NHWC"]
    assert [i.site.layout for i in find(Channels(False), inputs).found] == ["NCHW"]


def test_who_reads_the_grid_of_the_last_block():
    read = [i.grid_is_read for i in find_in(build("vit_tiny_patch16_224", meta=True)).found]
    assert read == [True] * 11 + [False]
    pooled = build("vit_tiny_patch16_224", meta=True, global_pool="avg")
    assert all(i.grid_is_read for i in find_in(pooled).found)
    assert [i.grid_is_read for i in find_in(build("torchvision/vit_b_16", meta=True)).found][-1] is False


def test_family_adds_siblings_without_a_shortcut():
    model = build("mobilenetv2_100", meta=True)
    findings = find_in(model, blocks="family")
    expected = {k for k, m in model.named_modules() if type(m).__name__ == "InvertedResidual"}
    assert {i.site.name for i in findings.found} == expected
    assert len(expected) == 16
    assert findings.rejected == ()


def test_siblings_that_are_left_out_are_named():
    findings = find_in(build("mobilenetv2_100", meta=True))
    firsts = [f"blocks.{stage}.0" for stage in range(1, 7)]
    assert [item.name for item in findings.rejected] == firsts
    assert {Reason(item.code, item.reason) for item in findings.rejected} == {NO_SHORTCUT}
    assert "--blocks family" in NO_SHORTCUT.text


def test_modules_named_by_hand():
    model = build("vgg11", meta=True)
    findings = find_in(model, at=["features.[25]", "features.10"])
    assert [i.site.name for i in findings.found] == ["features.2", "features.5", "features.10"]
    assert [i.site.channels for i in findings.found] == [64, 128, 256]
    with pytest.raises(NoSiteError, match=r"'featurs\.2'.*features\.2"):
        find_in(model, at=["featurs.2"])


def test_the_model_is_left_untouched():
    model = build("test_resnet")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    model.train()
    find_in(model)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]


def test_a_size_that_the_model_refuses():
    model = build("vit_tiny_patch16_224", meta=True)
    with pytest.raises(ModelError, match=r"\(3, 200, 200\).*--input-size"):
        find(model, InputSpec((3, 200, 200)))


def test_calls_of_a_shared_block():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = build("test_resnet").layer1[0]
            self.stem = nn.Conv2d(3, self.block.conv1.in_channels, 1)

        def forward(self, x):
            return self.block(self.block(self.stem(x)))

    model = Twice()
    width = model.block.conv1.in_channels
    if find(model, InputSpec((3, 32, 32))).found[0].site.channels != width:
        pytest.fail("this block cannot be called twice")
    assert [i.site.calls for i in find(model, InputSpec((3, 32, 32))).found] == [2]
    assert size_of(model) == (3, 224, 224)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        # The last stage hands map and class token on apart, and only the token is read.
        ("pit_ti_224", [True] * 11 + [False]),
        ("tnt_s_patch16_224", [True] * 11 + [False]),
        ("xcit_nano_12_p8_224", [True] * 13 + [False]),
        ("deit_tiny_distilled_patch16_224", [True] * 11 + [False]),
    ],
)
def test_who_reads_the_grid_through_tuples(name, read):
    assert [i.grid_is_read for i in find_in(build(name, meta=True)).found] == read


class Adding(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, convolution: type[nn.Module]) -> None:
        super().__init__()
        self.first = convolution(8, 8, 3, padding=1)
        self.second = convolution(8, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(self.first(x).relu())


def test_signals_are_no_tokens():
    """(N, C, L) has three axes as tokens have, and its channels are not the last."""
    model = nn.Sequential(nn.Conv1d(1, 8, 3, padding=1), Adding(nn.Conv1d), Adding(nn.Conv1d))
    findings = find(model, InputSpec.from_example(torch.randn(2, 1, 64)))
    assert findings.found == ()
    assert [item.name for item in findings.rejected] == ["1", "2"]
    assert "signal along one axis" in findings.rejected[0].reason


def test_a_model_that_adds_in_its_own_forward_is_told_so():
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = x + layer(x).relu()
            return x

    assert len(find(Flat(), InputSpec((8, 16, 16))).found) == 3
    findings = find(Flat(), InputSpec((8, 16, 16)), blocks="outer")
    assert findings.found == ()
    assert findings.rejected == (Rejection.of("(model)", IN_THE_MODEL),)


def test_a_skip_around_the_whole_model_is_no_news_where_blocks_are_found():
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(Adding(nn.Conv2d), nn.ReLU(), Adding(nn.Conv2d))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.body(x)

    findings = find(Around(), InputSpec((8, 16, 16)))
    assert [item.site.name for item in findings.found] == ["body.0", "body.2"]
    assert "(model)" not in [item.name for item in findings.rejected]
