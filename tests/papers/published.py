"""Rows that papers print, each with the figure of our modules under the same convention.

M and G are 10^6 and 10^9, Mi and Gi are 2^20 and 2^30. K1 to K4 are the conventions of `counters`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from tests.papers import networks
from tests.papers.counters import old_thop, ptflops, record
from tests.papers.networks import count_parameters

UNITS = {"M": 1e6, "Mi": 2**20, "G": 1e9, "Gi": 2**30}


@dataclass(frozen=True)
class Row:
    """One figure of one paper.

    Attributes:
        file: Of the module, `se`.
        spec: What is counted, `se:bias=false`.
        where: The network and the places.
        unit: `M parameters`, `G (K3)` and the like; its first word is a key of `UNITS`.
        printed: The figure as the paper has it, or as its authors' code gives it.
        source: Who prints it.
        count: Our figure, of the network with the module in these places.
    """

    file: str
    spec: str
    where: str
    unit: str
    printed: str
    source: str
    count: Callable[[nn.Module], int]

    def figure(self) -> str:
        """Ours, to the digits that the paper prints."""
        digits = len(self.printed.partition(".")[2])
        return f"{self.count(network(self.spec, self.where)) / UNITS[self.unit.split()[0]]:.{digits}f}"


def _in_blocks(spec: str) -> nn.Module:
    return networks.with_attention(networks.bare(), spec)


PLACES: dict[str, Callable[[str], nn.Module]] = {
    "ResNet-50, each block": _in_blocks,
    "ResNet-50, each block of stages 2 to 4": lambda spec: networks.with_attention(
        networks.bare(), spec, stages=(2, 3, 4)
    ),
    "ResNet-50, behind stages 1 to 3": lambda spec: networks.with_attention_after_stages(
        networks.bare(), spec
    ),
    "ResNet-50, for each 3x3": lambda spec: networks.with_self_attention(networks.bare()),
    "MobileNetV2, behind each 3x3 of 16 blocks": lambda spec: networks.with_attention_inside(
        networks.bare("mobilenet_v2"), spec
    ),
}


@functools.cache
def network(spec: str, where: str) -> nn.Module:
    """The network with the module in its places."""
    return PLACES[where](spec)


def on_resnet50(spec: str) -> int:
    """Parameters of ResNet-50 with a module on each branch."""
    return count_parameters(network(spec, "ResNet-50, each block"))


def _k3(model: nn.Module) -> int:
    return ptflops(record(model))


def _k3_bam(model: nn.Module) -> int:
    return ptflops(record(model), pooling="network")


def _k4(model: nn.Module) -> int:
    return old_thop(model, relu=True)


def _rows(
    file: str, spec: str, where: str, *figures: tuple[str, str, str, Callable[[nn.Module], int]]
) -> list[Row]:
    return [Row(file, spec, where, unit, printed, source, count) for unit, printed, source, count in figures]


BLOCKS, SGE, ECA = "ResNet-50, each block", "authors of SGE", "ECA"
PARAMS, MEBI, K3, K4 = "M parameters", "Mi parameters", "G (K3)", "Gi (K4)"

PUBLISHED: tuple[Row, ...] = (
    *_rows("se", "se", BLOCKS, (PARAMS, "28.09", SGE, count_parameters), (K3, "4.130", SGE, _k3)),
    *_rows("se", "se:bias=false", BLOCKS, (MEBI, "26.77", ECA, count_parameters), (K4, "3.87", ECA, _k4)),
    *_rows("eca", "eca", BLOCKS, (MEBI, "24.37", ECA, count_parameters), (K4, "3.86", ECA, _k4)),
    *_rows(
        "ela",
        "ela-l",
        "MobileNetV2, behind each 3x3 of 16 blocks",
        ("M parameters", "3.916904", "the authors' code", count_parameters),
    ),
    *_rows(
        "ca",
        "ca",
        "MobileNetV2, behind each 3x3 of 16 blocks",
        ("M parameters", "3.95", "CA", count_parameters),
    ),
    *_rows("sa", "sa", BLOCKS, (K3, "4.125", "SA", _k3)),
    *_rows("cbam", "cbam", BLOCKS, (PARAMS, "28.09", SGE, count_parameters), (K3, "4.139", SGE, _k3)),
    *_rows("cbam", "cbam:bias=false", BLOCKS, (MEBI, "26.77", ECA, count_parameters), (K4, "3.87", ECA, _k4)),
    *_rows(
        "bam",
        "bam",
        "ResNet-50, behind stages 1 to 3",
        (PARAMS, "25.92", SGE, count_parameters),
        (K3, "4.205", SGE, _k3_bam),
    ),
    *_rows("sge", "sge", BLOCKS, (PARAMS, "25.56", SGE, count_parameters), (K3, "4.127", SGE, _k3)),
    *_rows("tam", "tam", BLOCKS, (PARAMS, "25.56", "TAM", count_parameters), (K3, "4.17", "TAM", _k3)),
    *_rows(
        "gc", "gc", "ResNet-50, each block of stages 2 to 4", (PARAMS, "28.08", "GC, ECA", count_parameters)
    ),
    *_rows("sasa", "sasa", "ResNet-50, for each 3x3", (PARAMS, "18.0", "SASA", count_parameters)),
)
