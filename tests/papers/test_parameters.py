"""Parameter counts of whole networks, as the papers and the authors' code have them.

A count is that of the untouched network and of one module at each place; where the module stands is the
business of placements, so only the channels of the places matter here.
"""

import pytest
import torch

from attn_inject.attention.factory import create_attention

# Channels and map size, in positions, of the output of each of ResNet-50's 16 blocks at 224 pixels.
RESNET50 = 25_557_032
STAGES = [(256, 56, 3), (512, 28, 4), (1024, 14, 6), (2048, 7, 3)]
BLOCKS = [(channels, side) for channels, side, blocks in STAGES for _ in range(blocks)]
INPUTS = [64, *(channels for channels, _ in BLOCKS[:-1])]

# Channels of the depthwise convolutions of MobileNetV2's 16 blocks that expand their input sixfold.
MOBILENETV2 = 3_504_872
HIDDEN = [6 * channels for channels in (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160)]


def parameters(spec: str, channels: int, side: int = 7) -> int:
    with torch.device("meta"):
        module = create_attention(spec, channels=channels, size=(side, side))
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("spec", "total"),
    [
        ("se", 28_088_024),
        ("se:bias=false", 28_071_976),
        ("cbam", 28_089_624),
        ("cbam:bias=false", 28_073_576),
        ("eca", 25_557_118),
        ("sa", 25_557_740),
        ("sa:groups=32", 25_557_032 + 1416),
        ("ca", 27_474_864),
        ("ca:reduction=16", 29_362_488),
        ("ela-t", 25_662_760),
        ("ela-b", 25_692_968),
        ("ela-s", 26_191_400),
        ("ela-l", 26_433_064),
        ("nam-channel", 25_587_240),
        ("nam-spatial", 25_584_766),
        ("nam", 25_614_974),
        ("sge", 25_559_080),
        ("tam", 25_561_832),
        ("tam:kernel_size=3", 25_557_992),
        ("gc", 28_105_032),
        ("ge-theta-minus", 25_557_032),
        ("ge-theta", 31_106_600),
        ("ge-theta-plus", 33_637_592),
        ("simam", 25_557_032),
    ],
)
def test_resnet50_with_a_module_after_each_block(spec, total):
    assert RESNET50 + sum(parameters(spec, channels, side) for channels, side in BLOCKS) == total


@pytest.mark.parametrize(
    ("reduction", "millions"), [(2, 45.68), (4, 35.62), (8, 30.59), (16, 28.07), (32, 26.81)]
)
def test_table_10_of_squeeze_and_excitation(reduction, millions):
    """Without biases; learnable parameters, where the paper also counts the norms' running statistics."""
    added = sum(parameters(f"se:bias=false,reduction={reduction}", channels) for channels, _ in BLOCKS)
    assert round((RESNET50 + added) / 1e6, 2) == millions


def test_squeeze_and_excitation_before_each_block_and_after_each_3x3():
    """SE-PRE, and SE_3x3 of its table 15."""
    before = sum(parameters("se:bias=false", channels) for channels in INPUTS)
    inside = sum(parameters("se:bias=false", channels // 4) for channels, _ in BLOCKS)
    assert round((RESNET50 + before) / 1e6, 3) == 27.548
    assert round((RESNET50 + inside) / 1e6, 3) == 25.714


def test_gc_in_the_last_three_stages_and_in_one_place():
    assert RESNET50 + sum(parameters("gc", channels) for channels, _ in BLOCKS[3:]) == 28_078_773
    assert round((RESNET50 + parameters("gc", 1024)) / 1e6, 3) == 25.690


@pytest.mark.parametrize(("spec", "total"), [("bam", 25_915_099), ("bam:literal=true", 25_917_793)])
def test_bam_behind_the_first_three_stages(spec, total):
    assert RESNET50 + sum(parameters(spec, channels) for channels in (256, 512, 1024)) == total


def test_one_non_local_block():
    assert RESNET50 + parameters("nl", 1024) == 27_658_792


@pytest.mark.parametrize(("spec", "millions"), [("ge-theta", 31.19), ("ge-theta-plus", 33.72)])
def test_gather_excite_with_the_norms_running_statistics(spec, millions):
    """As its paper prints them: 53,120 of the network's own norms and 2 C of each module's."""
    added = sum(parameters(spec, channels, side) + 2 * channels for channels, side in BLOCKS)
    assert round((RESNET50 + 53_120 + added) / 1e6, 2) == millions


def test_stand_alone_self_attention_in_the_place_of_each_3x3():
    """3 d d + 7 d / 8 for 9 d d, d being the channels of the 3x3."""
    inside = [channels // 4 for channels, _ in BLOCKS]
    total = RESNET50 + sum(parameters("sasa", d) - 9 * d * d for d in inside)
    assert total == 18_015_504


@pytest.mark.parametrize(
    ("spec", "mebi"), [("se:bias=false", 26.77), ("cbam:bias=false", 26.77), ("eca", 24.37)]
)
def test_rows_of_the_paper_of_eca_in_units_of_two_to_the_twenty(spec, mebi):
    added = sum(parameters(spec, channels) for channels, _ in BLOCKS)
    assert round((RESNET50 + added) / 2**20, 2) == mebi


def test_eca_with_the_kernels_of_the_released_resnet50():
    """3, 5, 5 and 7 by stage: the 80 parameters of the paper's abstract."""
    sizes = {256: 3, 512: 5, 1024: 5, 2048: 7}
    added = sum(parameters(f"eca:kernel_size={sizes[channels]}", channels) for channels, _ in BLOCKS)
    assert (added, RESNET50 + added) == (80, 25_557_112)


@pytest.mark.parametrize(("spec", "total"), [("ca", 3_950_648), ("ela-l", 3_916_904)])
def test_mobilenetv2_with_a_module_after_each_depthwise_convolution(spec, total):
    assert MOBILENETV2 + sum(parameters(spec, channels) for channels in HIDDEN) == total


@pytest.mark.parametrize(("name", "per_channel"), [("ela-t", 7), ("ela-b", 9), ("ela-s", 42), ("ela-l", 58)])
def test_ela_variants_per_channel(name, per_channel):
    assert [parameters(name, channels) for channels in (64, 256, 960)] == [
        per_channel * channels for channels in (64, 256, 960)
    ]
