"""Decisions by name: what counts as a block in families where nested or look-alike additions mislead."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from attn_inject.models.inputs import InputSpec
from attn_inject.operate.load_model import load_model
from attn_inject.sites.finder import find
from tests.nets import build, find_in

# architecture: how many blocks of which class, and why that is right.
BLOCKS = {
    # Wrappers: ResidualDrop and Residual are steps of the block that holds them.
    "efficientvit_m0": {"EfficientVitBlock": 6},
    "shvit_s1": {"BasicBlock": 11},
    # A transformer block of iformer is two modules of one list; it ends with the FFN.
    "iformer_t": {"ConvBlock": 11, "FFN": 5},
    "efficientvit_b0": {"ResidualBlock": 3, "EfficientVitBlock": 4},
    "convmixer_768_32": {"Residual": 32},
    # Downsamplers with a skip are not blocks.
    "levit_128": {"LevitBlock": 12},
    "repvit_m0_9": {"RepViTBlock": 20},
    "efficientvim_m1": {"EfficientViMBlock": 6},
    "efficientformerv2_s0": {"EfficientFormerV2Block": 14},
    "gcvit_xxtiny": {"GlobalContextVitBlock": 12},
    # Multi-branch convolutions inside larger blocks are not, and position-encoding convolutions never are.
    "fastvit_t8": {"RepMixerBlock": 10},
    "fastvit_sa12": {"RepMixerBlock": 10, "AttentionBlock": 2},
    "coat_lite_tiny": {"SerialBlock": 8},
    "twins_pcpvt_small": {"Block": 16},
    "swiftformer_xs": {"ConvEncoder": 12, "Block": 4},
    # ... but where a backbone is made of nothing else, they are.
    "repvgg_a0": {"RepVggBlock": 21},
    "mobileone_s0": {"MobileOneBlock": 42},
    # LCNet v2: only the blocks with a shortcut of their own.
    "lcnetv2_small": {"RepDepthwiseSeparable": 1},
    # The shortcut of a DLA block may be an argument; its roots concatenate.
    "dla34": {"DlaBasic": 12},
    # Each cell adds pairs of branches and concatenates the sums.
    "pnasnet5large": {"CellStem0": 1, "Cell": 13},
    "resnetv2_50": {"PreActBottleneck": 16},
    "res2net50_14w_8s": {"Bottle2neck": 16},
    "dpn48b": {"DualPathBlock": 16},
    "xcit_nano_12_p8_224": {"XCABlock": 12, "ClassAttentionBlock": 2},
    "cait_xxs24_224": {"LayerScaleBlock": 24, "LayerScaleBlockClassAttn": 2},
    "torchvision/lraspp_mobilenet_v3_large": {"InvertedResidual": 10},
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_by_name(name):
    findings = find_in(build(name, meta=True, **({"weights_backbone": None} if "lraspp" in name else {})))
    assert Counter(item.site.block for item in findings.found) == BLOCKS[name]


REASONS = {
    "repvit_m0_9": ("stages.1.downsample", "it belongs to a downsampler or side branch between the blocks"),
    "levit_128": (
        "stages.1.downsample",
        "the shortcut is not a projection: it passed through attn_downsample",
    ),
    "fastvit_t8": ("final_conv", "it becomes one convolution after training"),
    "coat_lite_tiny": ("cpe1", "it is a position-encoding convolution"),
    "hrnet_w18_small": ("stage2.0", "it adds values computed from different inputs, which is a fusion"),
    "repvgg_a0": ("stem", "it is a single multi-branch convolution"),
}


@pytest.mark.parametrize("name", REASONS)
def test_reasons_by_name(name):
    module, reason = REASONS[name]
    rejected = {item.name: item.reason for item in find_in(build(name, meta=True)).rejected}
    assert rejected[module] == reason


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("torchvision/fasterrcnn_mobilenet_v3_large_320_fpn", {"InvertedResidual": 10}),
        ("torchvision/raft_small", {"BottleneckBlock": 12}),
        ("torchvision/r3d_18", {"BasicBlock": 8}),
        ("torchvision/mvit_v2_s", {"MultiscaleBlock": 16}),
        ("torchvision/swin3d_t", {"SwinTransformerBlock": 12}),
        ("torchvision/regnet_x_400mf", {"ResBottleneckBlock": 22}),
        ("torchvision/quantized_resnet18", {"QuantizableBasicBlock": 8}),
    ],
)
def test_models_with_inputs_of_their_own(name, blocks):
    loaded = load_model(name, shapes_only=True)
    findings = find(loaded.model, loaded.inputs)
    assert Counter(item.site.block for item in findings.found) == blocks


def test_recurrent_cells_and_fusions_say_so():
    loaded = load_model("torchvision/raft_small", shapes_only=True)
    rejected = {item.name: item.reason for item in find(loaded.model, loaded.inputs).rejected}
    assert "recurrent cell" in rejected["update_block.recurrent_block.convgru1"]
    loaded = load_model("torchvision/lraspp_mobilenet_v3_large", shapes_only=True)
    rejected = {item.name: item.reason for item in find(loaded.model, loaded.inputs).rejected}
    assert "fusion" in rejected["classifier"]


LAYOUTS = {
    "torchvision/swin3d_t": ("NDHWC", 96, 56, 56, 0),
    "torchvision/r3d_18": ("NCDHW", 64, 56, 56, 0),
    "torchvision/mvit_v2_s": ("NLC", 96, None, None, 0),
    "timm/nest_tiny": ("NLC", 96, None, None, 0),
    "timm/hiera_tiny_224": ("NLC", 96, None, None, 0),
    "timm/crossvit_9_240": ("NLC", 128, 20, 20, 1),
    "timm/mobilevit_xxs": ("NCHW", 16, 128, 128, 0),
    "timm/sequencer2d_s": ("NHWC", 192, 32, 32, 0),
    "timm/caformer_s18": ("NCHW", 64, 56, 56, 0),
    "timm/naflexvit_base_patch16_gap": ("NLC", 768, 24, 24, 4),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_by_name(name):
    loaded = load_model(name, shapes_only=True)
    site = find(loaded.model, loaded.inputs).found[0].site
    assert (site.layout, site.channels, site.height, site.width, site.prefix) == LAYOUTS[name]


def test_a_dictionary_of_patches():
    """NaFlex models take patches, their coordinates and which of them are valid."""
    model = build("naflexvit_base_patch16_gap", meta=True)
    rows, columns = torch.meshgrid(torch.arange(6), torch.arange(4), indexing="ij")
    patches = {
        "patches": torch.randn(1, 24, 16 * 16 * 3),
        "patch_coord": torch.stack([rows.flatten(), columns.flatten()], 1)[None],
        "patch_valid": torch.ones(1, 24, dtype=torch.bool),
    }
    findings = find(model, InputSpec.from_example((patches,)))
    assert Counter(item.site.block for item in findings.found) == {"Block": 12}


class Model(nn.Module):
    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.stages = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stages(x)


class Adds(nn.Module):
    """Adds what a child makes of its input."""

    def __init__(self, child: nn.Module) -> None:
        super().__init__()
        self.child = child

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.child(x)


@pytest.mark.parametrize(
    ("child", "is_block"),
    [
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), False),
        (nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8)), False),
        (nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.GELU()), True),
        (nn.Conv2d(8, 8, 3, padding=1), True),
        (nn.Conv2d(8, 8, 3, padding=1, groups=4), True),
    ],
)
def test_position_encodings_are_bare_depthwise_convolutions(child, is_block):
    found = find(Model(Adds(child)), InputSpec((8, 16, 16))).found
    assert [item.site.name for item in found] == (["stages.0"] if is_block else [])


def test_first_halves_are_told_in_order():
    """And not in that of a set, which differs from run to run."""
    rejected = [
        item.name for item in find_in(build("iformer_t", meta=True)).rejected if "half" in item.reason
    ]
    parts = [[int(part) for part in name.split(".") if part.isdigit()] for name in rejected]
    assert len(parts) > 4
    assert parts == sorted(parts)


class DownBlock(nn.Module):
    """A residual block that halves the map."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, 2, 1)
        self.project = nn.Conv2d(width, width, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.project(x) + self.conv(x)


class Stage(nn.Module):
    """Blocks behind a module that halves the map."""

    def __init__(self, first: nn.Module, name: str) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, first)
        self.blocks = nn.Sequential(*(Adds(nn.Conv2d(8, 8, 3, padding=1)) for _ in range(2)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(self.get_submodule(self.name)(x))


class ResUNet(nn.Module):
    """Blocks are called `down`, and stand beside the list of the bottom's blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(DownBlock() for _ in range(2))
        self.downsample = DownBlock()
        self.bottom = nn.Sequential(*(Adds(nn.Conv2d(8, 8, 3, padding=1)) for _ in range(2)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.down:
            x = block(x)
        return self.bottom(self.downsample(x))


def found_in(model: nn.Module) -> list[str]:
    return [item.site.name for item in find(model, InputSpec((8, 32, 32))).found]


def test_a_name_is_no_evidence_against_a_block():
    names = ["down.0", "down.1", "downsample", "bottom.0", "bottom.1"]
    assert found_in(ResUNet()) == names
    assert found_in(nn.Sequential(ResUNet())) == [f"0.{name}" for name in names]


@pytest.mark.parametrize("name", ["downsample", "merge"])
def test_what_halves_the_map_beside_the_blocks_of_a_stage(name):
    model = Model(*(Stage(DownBlock(), name) for _ in range(2)))
    assert found_in(model) == [f"stages.{stage}.blocks.{block}" for stage in (0, 1) for block in (0, 1)]
    rejected = {item.name: item.code for item in find(model, InputSpec((8, 32, 32))).rejected}
    assert rejected[f"stages.0.{name}"] == "between-blocks"
