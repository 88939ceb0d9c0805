"""FLOPs of whole networks, each to the last digit that its paper prints, under the paper's own convention."""

import pytest

from tests.papers.counters import multiply_adds, old_thop, ptflops, record, se_paper
from tests.papers.networks import (
    bare,
    count_parameters,
    positions_of,
    with_attention,
    with_attention_after_stages,
    with_attention_for_3x3,
)


@pytest.mark.parametrize(
    ("name", "stride_first", "printed"),
    [
        ("resnet50", True, "3.86"),
        ("resnet101", True, "7.58"),
        ("resnet152", True, "11.30"),
        ("resnext50_32x4d", False, "4.24"),
    ],
)
def test_k1_the_paper_of_squeeze_and_excitation(name, stride_first, printed):
    assert f"{se_paper(record(bare(name, stride_first=stride_first))) / 1e9:.2f}" == printed


@pytest.mark.parametrize(
    ("name", "printed"), [("resnet50", "3.858"), ("resnet101", "7.570"), ("resnext50_32x4d", "3.768")]
)
def test_k2_the_papers_of_cbam_and_bam(name, printed):
    assert f"{multiply_adds(record(bare(name, stride_first=True))) / 1e9:.3f}" == printed


@pytest.mark.parametrize(
    ("name", "printed"),
    [("resnet18", "1.8222"), ("resnet50", "4.1219"), ("resnet101", "7.8495"), ("mobilenet_v2", "0.3202")],
)
def test_k3_what_ptflops_says_of_bare_networks(name, printed):
    # MobileNetV2 pools by a function at its end.
    pooling = "none" if name == "mobilenet_v2" else "all"
    assert f"{ptflops(record(bare(name)), pooling=pooling) / 1e9:.4f}" == printed


@pytest.mark.parametrize(
    ("spec", "millions", "printed"),
    [
        ("se", "28.09", "4.130"),
        ("cbam", "28.09", "4.139"),
        ("sge", "25.56", "4.127"),
        ("sa", "25.56", "4.125"),
        ("tam", "25.56", "4.17"),
    ],
)
def test_k3_resnet50_with_a_module_on_each_branch(spec, millions, printed):
    model = with_attention(bare(), spec)
    digits = len(printed.partition(".")[2])
    assert f"{ptflops(record(model)) / 1e9:.{digits}f}" == printed
    assert f"{count_parameters(model) / 1e6:.2f}" == millions


def test_k3_resnet50_with_bam_behind_three_stages():
    model = with_attention_after_stages(bare(), "bam")
    assert f"{ptflops(record(model), pooling='network') / 1e9:.3f}" == "4.205"
    assert f"{count_parameters(model) / 1e6:.2f}" == "25.92"


@pytest.mark.parametrize(
    ("name", "relu", "printed"),
    [
        ("resnet50", True, "3.858"),
        ("resnet101", True, "7.337"),
        ("resnet152", True, "10.822"),
        ("resnet18", False, "1.699"),
        ("resnet34", False, "3.427"),
    ],
)
def test_k4_what_thop_said_in_2019_of_bare_networks(name, relu, printed):
    assert f"{old_thop(bare(name), relu=relu) / 2**30:.3f}" == printed


def test_k4_mobilenetv2_in_units_of_two_to_the_twenty():
    assert f"{old_thop(bare('mobilenet_v2'), relu=True, pool=False) / 2**20:.2f}" == "319.36"


@pytest.mark.parametrize(
    ("spec", "millions", "printed"),
    [("se:bias=false", "26.77", "3.87"), ("cbam:bias=false", "26.77", "3.87"), ("eca", "24.37", "3.86")],
)
def test_k4_the_rows_of_the_paper_of_eca(spec, millions, printed):
    model = with_attention(bare(), spec)
    assert f"{old_thop(model, relu=True) / 2**30:.2f}" == printed
    assert f"{count_parameters(model) / 2**20:.2f}" == millions


def test_stand_alone_self_attention_counts_two_for_a_multiply_add():
    """At the resolution before the pooling; products with keys, offsets and values of k k positions."""
    model = with_attention_for_3x3(bare())
    seen = positions_of(model)
    convolutions = sum(o.multiply_adds for o in record(model) if o.kind in ("conv", "fc"))
    attention = sum(3 * m.kernel_size**2 * m.channels * positions for m, positions in seen())
    assert f"{2 * (convolutions + attention) / 1e9:.2f}" == "6.97"
    assert f"{count_parameters(model) / 1e3:.0f}" == "18016"
