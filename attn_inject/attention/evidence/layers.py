"""Evidence of the modules that take a convolution's place."""

from __future__ import annotations

from typing import Final

from attn_inject.attention.evidence.records import Difference, Evidence, assumed, code, counts, paper

M = "M parameters"
INVOLUTION = code("d-li14/involution@21c3158f, cls/mmcls/models")
RED_TABLE = code("d-li14/involution@21c3158f, README")
EPSANET = code("murufeng/EPSANet@9955041a, models/epsanet.py")
COTNET = code("JDAI-CV/CoTNet@895e0246, models/cotnet.py")
RESNEST = code("zhanghang1989/ResNeSt@1dfb3e88, resnest/torch/models")
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
    "involution": Evidence(
        formula=INVOLUTION,
        options={"kernel_size": INVOLUTION, "reduction": INVOLUTION, "group_channels": INVOLUTION},
        start=INVOLUTION,
        placement=INVOLUTION,
        counts=(
            *counts("involution", "RedNet-26", RED_TABLE, (M, "9.23")),
            *counts("involution", "RedNet-38", RED_TABLE, (M, "12.39")),
            *counts("involution", "RedNet-50", RED_TABLE, (M, "15.54")),
            *counts("involution", "RedNet-101", RED_TABLE, (M, "25.65")),
            *counts(
                "involution",
                "RedNet-152",
                RED_TABLE,
                (M, "33.99", "33.98", "33.99 with a kernel of 7 in the stem; the released code has 3"),
            ),
        ),
        difference=Difference(
            "d-li14/involution@21c3158f", 3, 1.4e-14, "its naive version, without a stride"
        ),
    ),
    "cot": Evidence(
        formula=COTNET,
        start=COTNET,
        placement=COTNET,
        counts=counts(
            "cot",
            "ResNet-50, for each 3x3 and its norm",
            code("JDAI-CV/CoTNet@895e0246, README"),
            (M, "22.2"),
        ),
        difference=Difference(
            "JDAI-CV/CoTNet@895e0246",
            3,
            8.9e-15,
            "with torch's unfold for its CUDA kernel, as its own test has it",
        ),
    ),
    "epsa": Evidence(
        formula=EPSANET,
        options={"reduction": EPSANET, "groups": EPSANET},
        start=EPSANET,
        placement=EPSANET,
        counts=(
            *counts(
                "epsa", "ResNet-50, for each 3x3", code("murufeng/EPSANet@9955041a, README"), (M, "22.56")
            ),
            *counts(
                "epsa", "ResNet-101, for each 3x3", code("murufeng/EPSANet@9955041a, README"), (M, "38.90")
            ),
        ),
        difference=Difference("murufeng/EPSANet@9955041a", 3, 0.0),
    ),
    "splat": Evidence(
        formula=code("zhanghang1989/ResNeSt@1dfb3e88, resnest/torch/models/splat.py; timm has the same"),
        options={"radix": RESNEST, "reduction": RESNEST},
        start=RESNEST,
        placement=RESNEST,
        counts=counts(
            "splat",
            "resnest50d of timm, for its own",
            code("huggingface/pytorch-image-models@0173a139, results/results-imagenet.csv"),
            (M, "27.48"),
        ),
        difference=Difference("zhanghang1989/ResNeSt@1dfb3e88", 3, 8.7e-14),
    ),
}
