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


def _rednet(blocks: tuple[int, ...], spec: str) -> nn.Module:
    return networks.rednet(spec, blocks)


def _van(widths: tuple[int, ...], depths: tuple[int, ...], spec: str) -> nn.Module:
    return networks.van(spec, widths, depths)


PLACES: dict[str, Callable[[str], nn.Module]] = {
    "ResNet-50, each block": lambda spec: networks.with_attention(networks.bare(), spec),
    "ResNet-34, each block": lambda spec: networks.with_attention(networks.bare("resnet34"), spec),
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
    "ResNet-101, for each 3x3": lambda spec: networks.with_attention_for_3x3(
        networks.bare("resnet101"), spec
    ),
    "ResNet-50, for each 3x3 and its norm": lambda spec: networks.without_norms_behind_3x3(
        networks.with_attention_for_3x3(networks.bare(), spec)
    ),
    "ese_vovnet39b of timm, for its own": lambda spec: networks.of_timm(
        "ese_vovnet39b", "EffectiveSEModule", spec
    ),
    "resnest50d of timm, for its own": lambda spec: networks.of_timm("resnest50d", "SplitAttn", spec),
    **{
        f"RedNet-{depth}": functools.partial(_rednet, blocks)
        for depth, blocks in {
            26: (1, 2, 4, 1),
            38: (2, 3, 5, 2),
            50: (3, 4, 6, 3),
            101: (3, 4, 23, 3),
            152: (3, 8, 36, 3),
        }.items()
    },
    **{
        name: functools.partial(_van, widths, depths)
        for name, widths, depths in (
            ("VAN-B0", (32, 64, 160, 256), (3, 3, 5, 2)),
            ("VAN-B1", (64, 128, 320, 512), (2, 2, 4, 2)),
            ("VAN-B2", (64, 128, 320, 512), (3, 3, 12, 3)),
            ("VAN-B3", (64, 128, 320, 512), (3, 5, 27, 3)),
        )
    },
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
