"""Evidence of the modules that gate channels, rows, columns or positions."""

from __future__ import annotations

from typing import Final

from attn_inject.attention.evidence.records import Difference, Evidence, assumed, code, counts, paper

BLOCKS = "ResNet-50, each block"
CIFAR = "ResNet-50 for CIFAR-100, each block"
MOBILE = "MobileNetV2, behind each 3x3 of 16 blocks"
M, MI, K3, K4 = "M parameters", "Mi parameters", "G (K3)", "Gi (K4)"

FCANET = code("cfzd/FcaNet@aa5fb635, model/layer.py")
VAN_CODE = code("Visual-Attention-Network/VAN-Classification@e19779b5, models/van.py")
VAN_TABLE = code("Visual-Attention-Network/VAN-Classification@e19779b5, README")
VOVNET = code("youngwanLEE/vovnet-detectron2@b81c813c, vovnet/vovnet.py")
SENET = code("hujie-frank/SENet@0262d43d, network files")
ECANET = code("BangguWu/ECANet@b332f6b3")
ELA_CODE = code("Xuwei86/ELA_Code@cd4594da")
COORD = code("houqb/CoordAttention@7619bea9")
SANET = code("wofmanaf/SA-Net@00a67608")
NAM_CODE = code("Christian-lyc/NAM@6e8d3e32 and its history")
CBAM_CODE = code("Jongchan/attention-module@459efad0")
SGE_CODE = code("implus/PytorchInsight@2864528f")
TAM_CODE = code("landskape-ai/triplet-attention@2cf02fb9")
GENET = code("hujie-frank/GENet@ae791f84, network files")
SIMAM_CODE = code("ZjjConan/SimAM@ae98f43a")
SRM_CODE = code("hyunjaelee410/style-based-recalibration-module@f6221c77")
SPNET = code("houqb/SPNet@5e97da3d, models/resnet.py")
EMA_CODE = code("YOLOonMe/EMA-attention-module@afc37ecf")
SGE_TABLE = code("implus/PytorchInsight@2864528f, table of its README")
EMA_TABLE = code("YOLOonMe/EMA-attention-module@afc37ecf, table of its README")
ECA_PAPER = paper("the table of ImageNet in ECA-Net, arXiv 1910.03151")
LAYER_DEFAULTS = assumed("the authors' code leaves these layers as torch starts them")

_ELA_OPTIONS = {
    "kernel_size": paper("the table of the variants, as a summary reprints it"),
    "groups": paper("the table of the variants, as a summary reprints it"),
    "num_groups": paper("the table of the variants, as a summary reprints it"),
    "shared": ELA_CODE,
}

GATES: Final[dict[str, Evidence]] = {
    "se": Evidence(
        formula=paper("section 3"),
        options={
            "reduction": paper("section 6.1"),
            "bias": SENET,
            "squeeze": paper("section 6.2"),
            "gate": paper("section 6.3"),
        },
        start=assumed("the paper initialises as He et al. and the network files with msra; ours is torch's"),
        placement=SENET,
        counts=(
            *counts("se", BLOCKS, SGE_TABLE, (M, "28.09"), (K3, "4.130")),
            *counts("se:bias=false", BLOCKS, ECA_PAPER, (MI, "26.77"), (K4, "3.87")),
            *counts("se", CIFAR, EMA_TABLE, (M, "26.2")),
        ),
    ),
    "eca": Evidence(
        formula=paper("section 3.2"),
        options={"kernel_size": paper("section 3.2; the released checkpoints have kernels set by hand")},
        start=LAYER_DEFAULTS,
        placement=ECANET,
        counts=(
            *counts("eca", BLOCKS, ECA_PAPER, (MI, "24.37"), (K4, "3.86")),
            *counts("eca", CIFAR, EMA_TABLE, (M, "23.71")),
        ),
    ),
    "ela": Evidence(
        formula=ELA_CODE,
        options=_ELA_OPTIONS,
        start=LAYER_DEFAULTS,
        placement=code(
            "Xuwei86/ELA_Code@cd4594da, semantic/network/backbone/resnet.py, which also adds the gated map's "
            "input, and MbV2/models, which does not"
        ),
        counts=counts("ela-l", MOBILE, ELA_CODE, (M, "3.916904")),
    ),
    "ca": Evidence(
        formula=COORD,
        options={"reduction": COORD},
        start=LAYER_DEFAULTS,
        placement=code("houqb/CoordAttention@7619bea9 for MobileNetV2; in ResNet assumed to be that of SE"),
        counts=(
            *counts("ca", MOBILE, code("houqb/CoordAttention@7619bea9, README"), (M, "3.95")),
            *counts("ca", CIFAR, EMA_TABLE, (M, "25.57", "25.62", "not known; without biases it is 25.59")),
        ),
    ),
    "sa": Evidence(
        formula=SANET,
        options={"groups": SANET},
        start=SANET,
        placement=SANET,
        counts=(
            *counts("sa", BLOCKS, paper("the abstract and the table of ImageNet"), (K3, "4.125")),
            *counts("sa", CIFAR, EMA_TABLE, (M, "23.71")),
        ),
    ),
    "nam": Evidence(
        formula=NAM_CODE,
        start=NAM_CODE,
        placement=NAM_CODE,
        counts=counts(
            "nam-channel", CIFAR, EMA_TABLE, (M, "23.71", "23.74", "not known; the module's norms add 30,208")
        ),
    ),
    "cbam": Evidence(
        formula=CBAM_CODE,
        options={"reduction": CBAM_CODE, "kernel_size": CBAM_CODE, "bias": CBAM_CODE},
        start=CBAM_CODE,
        placement=CBAM_CODE,
        counts=(
            *counts("cbam", BLOCKS, SGE_TABLE, (M, "28.09"), (K3, "4.139")),
            *counts("cbam:bias=false", BLOCKS, ECA_PAPER, (MI, "26.77"), (K4, "3.87")),
            *counts("cbam", CIFAR, EMA_TABLE, (M, "26.24")),
        ),
    ),
    "bam": Evidence(
        formula=CBAM_CODE,
        options={
            "reduction": CBAM_CODE,
            "dilation": CBAM_CODE,
            "literal": assumed("the code is what was trained, so it is the default and not the equations"),
        },
        start=CBAM_CODE,
        placement=CBAM_CODE,
        counts=(
            *counts(
                "bam",
                "ResNet-50, behind stages 1 to 3",
                SGE_TABLE,
                (M, "25.92"),
                ("G (K3, one pooling layer)", "4.205"),
            ),
            *counts("bam", "ResNet-50 for CIFAR-100, behind stages 1 to 3", EMA_TABLE, (M, "24.1")),
        ),
        difference=Difference(
            "Jongchan/attention-module@459efad0", 3, 8.9e-16, "on square maps, the only ones that it takes"
        ),
    ),
    "sge": Evidence(
        formula=SGE_CODE,
        options={"groups": SGE_CODE},
        start=SGE_CODE,
        placement=SGE_CODE,
        counts=counts("sge", BLOCKS, SGE_TABLE, (M, "25.56"), (K3, "4.127")),
    ),
    "tam": Evidence(
        formula=TAM_CODE,
        options={"kernel_size": TAM_CODE},
        start=code("landskape-ai/triplet-attention@2cf02fb9, MODELS/resnet.py"),
        placement=TAM_CODE,
        counts=(
            *counts(
                "tam",
                BLOCKS,
                code("landskape-ai/triplet-attention@2cf02fb9, README"),
                (M, "25.56"),
                (K3, "4.169"),
            ),
            *counts(
                "tam:kernel_size=3",
                BLOCKS,
                code("landskape-ai/triplet-attention@2cf02fb9, README"),
                (M, "25.56"),
                (K3, "4.131"),
            ),
            *counts("tam", CIFAR, EMA_TABLE, (M, "23.7")),
        ),
        difference=Difference("landskape-ai/triplet-attention@2cf02fb9", 3, 8.9e-16),
    ),
    "ge": Evidence(
        formula=code("hujie-frank/GENet@ae791f84, network files, and the figure of extent 8"),
        options={
            "extent": GENET,
            "reduction": GENET,
            "relu": code("hujie-frank/GENet@ae791f84, figures/GEP8.jpg; timm has the same"),
        },
        start=GENET,
        placement=GENET,
    ),
    "scse": Evidence(
        formula=assumed(
            "the sum is the paper's equation as others quote it; the released code has the maximum"
        ),
        options={
            "reduction": code("ai-med/squeeze_and_excitation@acdd26e7"),
            "bias": code("ai-med/squeeze_and_excitation@acdd26e7"),
        },
        start=LAYER_DEFAULTS,
        placement=assumed("the paper puts it behind encoder and decoder blocks of a segmentation network"),
        difference=Difference(
            "ai-med/squeeze_and_excitation@acdd26e7", 3, 3.5, "which takes the maximum instead of the sum"
        ),
    ),
    "ema": Evidence(
        formula=EMA_CODE,
        options={"groups": EMA_CODE},
        start=LAYER_DEFAULTS,
        placement=assumed("the released code is the module alone"),
        counts=(
            *counts("ema", CIFAR, EMA_TABLE, (M, "23.85", "23.90", "the places are not published")),
            *counts(
                "ema",
                "ResNet-101 for CIFAR-100, each block",
                EMA_TABLE,
                (M, "42.96", "43.07", "the places are not published"),
            ),
        ),
        difference=Difference("YOLOonMe/EMA-attention-module@afc37ecf", 3, 8.9e-16),
    ),
    "simam": Evidence(
        formula=SIMAM_CODE,
        options={"regularization": SIMAM_CODE},
        start=SIMAM_CODE,
        placement=code("ZjjConan/SimAM@ae98f43a, networks/imagenet/resnet.py and mobilenetv2.py"),
        difference=Difference("ZjjConan/SimAM@ae98f43a", 3, 8.9e-16),
    ),
    "srm": Evidence(
        formula=SRM_CODE,
        start=SRM_CODE,
        placement=code("hyunjaelee410/style-based-recalibration-module@f6221c77, models/resnet.py"),
        counts=counts("srm", BLOCKS, assumed("quoted by others; the table was not at hand"), (M, "25.62")),
        difference=Difference(
            "hyunjaelee410/style-based-recalibration-module@f6221c77",
            3,
            2.2e-2,
            "whose variance divides by one less; on 35 positions",
        ),
    ),
    "spm": Evidence(
        formula=SPNET,
        options={"kernel_size": SPNET},
        start=SPNET,
        placement=SPNET,
        difference=Difference("houqb/SPNet@5e97da3d", 3, 1.3e-15),
    ),
    "gam": Evidence(
        formula=assumed("many ports agree; neither the authors' code nor the paper's text was reached"),
        options={
            "reduction": assumed("its count of 149.5 M parameters is that of 16; ports have 4"),
            "kernel_size": assumed("all ports have 7"),
            "groups": assumed("the published count is that of one group"),
        },
        start=assumed("ports leave the layers as torch starts them"),
        placement=assumed("that of NAM and CBAM, whose authors' networks it was compared in"),
        counts=counts("gam", CIFAR, EMA_TABLE, (M, "149.5")),
    ),
    "ese": Evidence(
        formula=code("youngwanLEE/vovnet-detectron2@b81c813c, vovnet/vovnet.py; timm has the same"),
        start=VOVNET,
        placement=code(
            "youngwanLEE/vovnet-detectron2@b81c813c, vovnet/vovnet.py: before the addition of each one-shot "
            "aggregation; in a ResNet assumed to be the same"
        ),
        counts=counts(
            "ese",
            "ese_vovnet39b of timm, for its own",
            code("huggingface/pytorch-image-models@0173a139, results/results-imagenet.csv"),
            (M, "24.57"),
        ),
        difference=Difference("youngwanLEE/vovnet-detectron2@b81c813c", 3, 0.0),
    ),
    "lka": Evidence(
        formula=VAN_CODE,
        start=VAN_CODE,
        placement=assumed("the authors only build it into blocks of their own network"),
        counts=(
            *counts(
                "lka",
                "VAN-B0",
                VAN_TABLE,
                (M, "4.1"),
            ),
            *counts(
                "lka",
                "VAN-B1",
                VAN_TABLE,
                (M, "13.9"),
            ),
            *counts(
                "lka",
                "VAN-B2",
                VAN_TABLE,
                (M, "26.6"),
            ),
            *counts(
                "lka",
                "VAN-B3",
                VAN_TABLE,
                (M, "44.8"),
            ),
        ),
        difference=Difference("Visual-Attention-Network/VAN-Classification@e19779b5", 3, 0.0),
    ),
    "fca": Evidence(
        formula=FCANET,
        options={"reduction": FCANET, "frequencies": FCANET},
        start=FCANET,
        placement=code("cfzd/FcaNet@aa5fb635, model/fcanet.py"),
        counts=(
            *counts(
                "fca",
                "ResNet-34, each block",
                paper("the table of WaveNet-C, as notes on it reprint the row"),
                (M, "21.95"),
            ),
            *counts("fca", BLOCKS, assumed("recalled; no table was at hand"), (M, "28.07")),
        ),
        difference=Difference(
            "cfzd/FcaNet@aa5fb635", 3, 1.7e-14, "with the basis of both in double precision"
        ),
    ),
}
