"""Evidence of the modules that add what they gathered from all positions."""

from __future__ import annotations

from typing import Final

from attn_inject.attention.evidence.records import Difference, Evidence, assumed, code, counts, paper

M = "M parameters"
NONLOCAL = code("facebookresearch/video-nonlocal-net@c253ed5e")
GCNET = code("xvjiarui/GCNet@029db540")

CONTEXT: Final[dict[str, Evidence]] = {
    "non_local": Evidence(
        formula=code("facebookresearch/video-nonlocal-net@c253ed5e, which pools before it convolves"),
        options={"reduction": NONLOCAL, "pool": NONLOCAL, "scale": NONLOCAL},
        start=NONLOCAL,
        placement=assumed("five blocks in stages 2 and 3, as others quote the paper"),
        counts=counts(
            "nl", "ResNet-50, one of 1024 channels", assumed("recalled; no table was at hand"), (M, "27.66")
        ),
    ),
    "gc": Evidence(
        formula=GCNET,
        options={"reduction": GCNET},
        start=GCNET,
        placement=GCNET,
        counts=counts(
            "gc",
            "ResNet-50, each block of stages 2 to 4",
            paper("the table of ImageNet in ECA-Net, arXiv 1910.03151"),
            (M, "28.08"),
        ),
    ),
    "a2": Evidence(
        formula=assumed("ports agree; neither the authors' code nor the paper's text was reached"),
        options={"reduction": assumed("that of the count of 33.0 M")},
        start=assumed("ports leave the layers as torch starts them"),
        placement=assumed("five blocks in stages 2 and 3, as others quote the paper"),
        counts=counts(
            "a2",
            "ResNet-50, every second block of stages 2 and 3",
            assumed("quoted by others; the table was not at hand"),
            (M, "33.0", "32.9", "33.0 with the running statistics of the network's norms"),
        ),
    ),
    "danet": Evidence(
        formula=code(
            "junfu1115/DANet@b0a0fa00, encoding/nn/da_att.py; open-mmlab/mmsegmentation@1cd613fa, "
            "mmseg/models/decode_heads/da_head.py, has the same"
        ),
        options={"reduction": code("junfu1115/DANet@b0a0fa00, encoding/nn/da_att.py")},
        start=code("junfu1115/DANet@b0a0fa00, encoding/nn/da_att.py"),
        placement=assumed("the authors place it in the head of a segmentation network"),
        difference=Difference("junfu1115/DANet@b0a0fa00", 3, 7.7e-15, "both modules"),
    ),
    "criss_cross": Evidence(
        formula=code(
            "speedinghzl/CCNet@1fae6c67, cc_attention/functions.py; open-mmlab/mmcv@02604c12, "
            "mmcv/ops/cc_attention.py, has the same"
        ),
        options={
            "reduction": code("speedinghzl/CCNet@1fae6c67, cc_attention/functions.py"),
            "recurrence": code("speedinghzl/CCNet@1fae6c67, networks/ccnet.py"),
        },
        start=code("speedinghzl/CCNet@1fae6c67, cc_attention/functions.py"),
        placement=assumed("the authors place it in the head of a segmentation network"),
        difference=Difference("speedinghzl/CCNet@1fae6c67", 3, 3.4e-14, "done twice"),
    ),
}
