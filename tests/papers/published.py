"""The published rows of the evidence, each with the figure of our modules under the same convention.

M and G are 10^6 and 10^9, Mi and Gi are 2^20 and 2^30. K1 to K4 are the conventions of `counters`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from torch import nn

from attn_inject.attention.evidence import EVIDENCE
from attn_inject.attention.evidence.records import Count
from tests.papers import networks
from tests.papers.counters import multiply_adds, old_thop, ptflops, record
from tests.papers.networks import count_parameters

UNITS = {"M": 1e6, "Mi": 2**20, "G": 1e9, "Gi": 2**30}

# How to count, by the unit without its first word.
COUNTERS: dict[str, Callable[[nn.Module], int]] = {
    "parameters": count_parameters,
    "(K2)": lambda model: multiply_adds(record(model)),
    "(K3)": lambda model: ptflops(record(model)),
    "(K3, one pooling layer)": lambda model: ptflops(record(model), pooling="network"),
    "(K4)": lambda model: old_thop(model, relu=True),
}

PLACES: dict[str, Callable[[str], nn.Module]] = {
    "ResNet-50, each block": lambda spec: networks.with_attention(networks.bare(), spec),
    "ResNet-50, each block of stages 2 to 4": lambda spec: networks.with_attention(
        networks.bare(), spec, stages=(2, 3, 4)
    ),
    "ResNet-50, one of 1024 channels": lambda spec: networks.with_attention(
        networks.bare(), spec, stages=(3,), every=6
    ),
    "ResNet-50, every second block of stages 2 and 3": lambda spec: networks.with_attention(
        networks.bare(), spec, stages=(2, 3), every=2
    ),
    "ResNet-50, behind stages 1 to 3": lambda spec: networks.with_attention_after_stages(
        networks.bare(), spec
    ),
    "ResNet-50, for each 3x3": lambda spec: networks.with_attention_for_3x3(networks.bare(), spec),
    "ResNeXt-50, for each 3x3": lambda spec: networks.with_attention_for_3x3(
        networks.bare("resnext50_32x4d"), spec
    ),
    "ResNet-50 for CIFAR-100, each block": lambda spec: networks.with_attention(networks.for_cifar(), spec),
    "ResNet-101 for CIFAR-100, each block": lambda spec: networks.with_attention(
        networks.for_cifar("resnet101"), spec
    ),
    "ResNet-50 for CIFAR-100, behind stages 1 to 3": lambda spec: networks.with_attention_after_stages(
        networks.for_cifar(), spec
    ),
    "MobileNetV2, behind each 3x3 of 16 blocks": lambda spec: networks.with_attention_inside(
        networks.bare("mobilenet_v2"), spec
    ),
}

PUBLISHED: tuple[tuple[str, Count], ...] = tuple(
    (file, count) for file, evidence in EVIDENCE.items() for count in evidence.counts
)


def figure(row: Count) -> str:
    """Ours, to the digits that are printed."""
    unit, _, rest = row.unit.partition(" ")
    digits = len(row.printed.partition(".")[2])
    return f"{COUNTERS[rest](network(row.spec, row.where)) / UNITS[unit]:.{digits}f}"


@functools.cache
def network(spec: str, where: str) -> nn.Module:
    """The network with the module in its places."""
    return PLACES[where](spec)


def on_resnet50(spec: str) -> int:
    """Parameters of ResNet-50 with a module on each branch."""
    return count_parameters(network(spec, "ResNet-50, each block"))
