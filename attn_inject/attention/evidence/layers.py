"""Evidence of the modules that take a convolution's place."""

from __future__ import annotations

from typing import Final

from attn_inject.attention.evidence.records import Evidence, assumed, code, counts, paper

M = "M parameters"
SKNET = code("implus/SKNet@17dd7086, network files")

LAYERS: Final[dict[str, Evidence]] = {
    "sk": Evidence(
        formula=SKNET,
        options={"reduction": SKNET, "groups": SKNET},
        start=SKNET,
        placement=SKNET,
        counts=counts("sk", "ResNeXt-50, for each 3x3", code("implus/SKNet@17dd7086, README"), (M, "27.5")),
    ),
    "sasa": Evidence(
        formula=paper("section 3, as a summary reprints it"),
        options={
            "kernel_size": paper("the section of experiments, as a summary reprints it"),
            "heads": paper("the section of experiments, as a summary reprints it"),
        },
        start=assumed("the paper does not say how the offsets start"),
        placement=paper("section 3, as a summary reprints it"),
        counts=counts(
            "sasa",
            "ResNet-50, for each 3x3",
            paper("table 1, as Axial-DeepLab, arXiv 2003.07853, reprints it"),
            (M, "18.0"),
        ),
    ),
}
