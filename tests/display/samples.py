"""Results as the lower rooms return them, small and awkward to lay out."""

import dataclasses
import json
from types import SimpleNamespace

from attn_inject.attention.registry import Entry
from attn_inject.cost.budget import Fit
from attn_inject.cost.comparison import Comparison, Inserted, Side
from attn_inject.cost.cost import Cost
from attn_inject.cost.figures import SiteCost, Stats, StatsRow, Timing
from attn_inject.difference import BlockState, ChangedBlock, Difference, InsertedHere, Reshaped
from attn_inject.request import Plan, as_specs, to_dict
from attn_inject.results import Check, Insertion, Report
from attn_inject.sites.site import Rejection, RejectionCode, Site
from attn_inject.weights import WeightsOrigin

SHAPES = {1: (256, 56, 3), 2: (512, 28, 4), 3: (1024, 14, 6), 4: (2048, 7, 3)}
VERSIONS = {
    "attn-inject": "0.1.0",
    "torch": "2.15.0",
    "torchvision": "0.29.2",
    "timm": "1.0.31",
    "fvcore": "0.1.5",
}


def resnet_sites() -> tuple[Site, ...]:
    """The 16 bottlenecks of a ResNet-50."""
    return tuple(
        Site(
            name=f"layer{stage}.{index}",
            block="Bottleneck",
            layout="NCHW",
            channels=channels,
            height=side,
            width=side,
            stage=stage,
        )
        for stage, (channels, side, count) in SHAPES.items()
        for index in range(count)
    )


def resnet_report(**changes: object) -> Report:
    """ELA-L in a ResNet-50, checked and saved."""
    insertions = tuple(
        Insertion(
            site=site,
            attention="ela-l",
            module=f"{site.name}.attn_inject",
            cost=Cost(params=site.channels * 58, flops=site.channels * 2 * (site.height or 0) * 57),
        )
        for site in resnet_sites()
    )
    values: dict[str, object] = {
        "model": "resnet50",
        "source": "timm",
        "attention": ("ela-l",),
        "placement": "after",
        "start": "paper",
        "input_size": (3, 224, 224),
        "insertions": insertions,
        "rejected": (),
        "base": Cost(params=25_557_032, flops=4_111_514_624, activations=11_114_016),
        "result": Cost(params=26_433_064, flops=4_136_000_512, activations=11_464_000),
        "uncounted": {"aten::add": 16, "aten::mul": 32},
        "checks": (
            Check(name="structure", passed=True, detail="320 keys unchanged, 64 added"),
            Check(name="outputs", passed=True, detail="(2, 1000), finite"),
            Check(name="reopened", passed=True),
        ),
        "file": "model.pt",
        "versions": VERSIONS,
        "weights": WeightsOrigin(kind="random", seed=0),
        "notes": ("torchvision has a resnet50 too; write torchvision/resnet50 for it.",),
    }
    return Report(**(values | changes))  # type: ignore[arg-type]


def awkward_report() -> Report:
    """Globs in names, long names, modules adapted to a site, a failed check, many rejections."""
    site = Site(
        name="backbone.body.layer[34].0", block="Block", layout="NLC", channels=24, height=None, width=None
    )
    other = Site(
        name="features.denseblock3.denselayer12.branch",
        block="B",
        layout="NHWC",
        channels=6,
        height=7,
        width=9,
    )
    note = "groups=64 does not divide 24 channels: 8 used"
    return resnet_report(
        model="package.module:[red]factory[/red]",
        source="factory",
        attention=("layer[34].*=sa:groups=64", "se"),
        input_size=None,
        insertions=(
            Insertion(site=site, attention="sa:groups=8", module="x", cost=Cost(params=12), note=note),
            Insertion(site=other, attention="se", module="y", cost=Cost(params=1_000_000, flops=999_960_000)),
        ),
        rejected=(
            *(
                Rejection(
                    name=f"blocks.{i}.attn",
                    code=RejectionCode.INNER,
                    reason="an inner sum of an attention layer",
                )
                for i in range(38)
            ),
            Rejection(
                name="head",
                code=RejectionCode.NO_LIGHTER_SIDE,
                reason="two projections of one vector are added (heads), no shortcut [in] it",
            ),
        ),
        base=Cost(params=0, flops=10_000_000_000, activations=500),
        result=Cost(params=1_000_012, flops=10_000_000_001, activations=500),
        uncounted={},
        checks=(Check(name="outputs", passed=False, detail="logits[0, 3] is nan"),),
        file=None,
        weights=WeightsOrigin(kind="file", name="[red]w.pt", sha256="5e" * 32, key="prefix module."),
        notes=(),
    )


def vit_sites() -> SimpleNamespace:
    """A ViT with class tokens and a rejected candidate; one block called twice, one with a tuple."""
    blocks = [
        Site(name=f"blocks.{i}", block="Block", layout="NLC", channels=192, height=14, width=14, prefix=1)
        for i in range(2)
    ]
    odd = Site(
        name="blocks.2",
        block="Block",
        layout="NCHW",
        channels=8,
        height=7,
        width=7,
        stage=2,
        calls=2,
        element=1,
    )
    reasons = [
        Rejection(
            name="patch_embed",
            code=RejectionCode.NO_SHORTCUT,
            reason="a position embedding is added, no branch with a weight",
        )
    ]
    return SimpleNamespace(sites=(*blocks, odd), rejected=tuple(reasons))


def resnet_stats() -> Stats:
    """A base, three modules, one that does not fit, and a second model."""
    base = {"params": 25_557_032, "flops": 4_111_514_624, "activations": 11_114_016}

    def row(attention: str, params: int, flops: int, activations: int) -> StatsRow:
        return StatsRow(
            model="resnet50",
            source="timm",
            attention=attention,
            placement="after",
            sites=16,
            params=base["params"] + params,
            flops=base["flops"] + flops,
            activations=base["activations"] + activations,
            delta_params=params,
            delta_flops=flops,
            delta_activations=activations,
        )

    return Stats(
        rows=(
            StatsRow(model="resnet50", source="timm", attention=None, placement=None, **base),
            row("se", 2_530_992, 2_515_968, 16_080),
            row("eca", 80, 86_016, 0),
            row("sa:groups=32", 3_840, 5_117_952, 0),
            StatsRow(
                model="resnet50",
                source="timm",
                attention="nam",
                placement="after",
                reason="layer1.0: channels | rows differ",
            ),
            StatsRow(
                model="vit_tiny",
                source="timm",
                attention=None,
                placement=None,
                params=5_717_416,
                flops=1_080_000_000,
                activations=4_000_000,
            ),
        ),
        uncounted={"aten::mul": 64},
        versions=VERSIONS,
    )


def measured_stats() -> Stats:
    """The same with everything that can be asked for."""
    base = Timing(median=0.0213, low=0.0205, high=0.0222, repetitions=20)
    timing = Timing(median=0.0224, low=0.0218, high=0.0239, repetitions=20, ratio=1.04)
    plain = resnet_stats()
    rows = []
    for row in plain.rows[:4]:
        memory = {
            "memory": 338_226_480 + (row.delta_params or 0) * 8,
            "delta_memory": (row.delta_params or 0) * 8,
        }
        sites = tuple(
            SiteCost(
                site=site,
                attention=row.attention or "",
                params=site.channels,
                flops=site.channels * 2,
                activations=site.channels,
                gate_operations=site.channels * (site.height or 0) ** 2,
                gate_bytes=12 * site.channels * (site.height or 0) ** 2,
            )
            for site in resnet_sites()
        )
        gates = {"gate_operations": 11_055_488, "gate_bytes": 66_432_000, "per_site": sites}
        of_module = {} if row.attention is None else gates
        rows.append(dataclasses.replace(row, latency=timing if of_module else base, **memory, **of_module))
    return dataclasses.replace(plain, rows=(*rows, *plain.rows[4:]))


def two_sides() -> Comparison:
    """SE everywhere against ECA in the last block."""

    def inserted(site: Site, attention: str) -> Inserted:
        figures = Cost(params=site.channels, flops=2 * site.channels, gate_bytes=100)
        return Inserted(
            module=f"{site.name}.attn_inject", attention=attention, placement="after", figures=figures
        )

    sites = resnet_sites()
    a = Cost(params=28_088_024, flops=4_114_030_592, activations=11_130_096, gate_bytes=300_000_000)
    b = Cost(params=25_557_041, flops=4_111_602_000, activations=11_116_064, gate_bytes=240_000_000)
    return Comparison(
        a=Side(
            model="[a].pt", source="timm", figures=a, inserted=tuple(inserted(site, "se") for site in sites)
        ),
        b=Side(model="b.pt", source="timm", figures=b, inserted=(inserted(sites[-1], "eca"),)),
        versions=VERSIONS,
    )


def differing() -> Difference:
    """ECA before the addition in two blocks, another class in a third, a head of another size."""
    lines = ("def forward(self, x):", "    conv = self.conv(x)", "    add = {} + x", "    return add")
    call = "    attn_inject = self.attn_inject(conv)"
    here = InsertedHere(module="attn_inject", attention="eca", placement="before-add", start="identity")
    untouched = BlockState(
        block="Bottleneck", forward="\n".join(lines).format("conv"), base_forward="", inserted=()
    )
    modified = BlockState(
        block="Bottleneck",
        forward="\n".join([*lines[:2], call, *lines[2:]]).format("attn_inject"),
        base_forward="<b>.forward",
        inserted=(here,),
    )
    keys = {name: f"{name}.attn_inject.attention.conv.weight" for name in ("layer1.0", "layer1.1")}
    blocks = [ChangedBlock(name=n, a=untouched, b=modified, added=(key,)) for n, key in keys.items()]
    other = BlockState(block="[red]", forward="", base_forward="")
    blocks.append(ChangedBlock(name="head", a=None, b=other, removed=("head.<script>",)))
    return Difference(
        costs=two_sides(),
        blocks=tuple(blocks),
        added=tuple(keys.values()),
        removed=("head.<script>", "old"),
        reshaped=(Reshaped(key="fc.weight", a=(10, 64), b=(3, 64)),),
    )


def fitted() -> Fit:
    """SE in the last block of two stages."""
    names = [site.name for site in resnet_sites()]
    return Fit(
        model="resnet50",
        source="timm",
        attention="se",
        placement="after",
        budget="--max-params +2%",
        sites=("layer2.3", "layer3.5"),
        candidates=tuple(names),
        stages={name: int(name[5]) for name in names},
        base=Cost(params=25_557_032, flops=4_111_514_624, activations=11_114_016),
        result=Cost(params=25_721_992, flops=4_111_678_464, activations=11_115_648),
    )


ENTRIES = (
    Entry(
        name="se",
        target="a.b:C",
        options={"reduction": 16, "bias": True},
        authors="Hu et al.",
        year=2017,
        arxiv="1709.01507",
        summary="gates each channel by a two-layer perceptron of the channel means",
    ),
    Entry(name="my-gate", target="a.b:D", owner="my-package", summary="from my-package"),
)


def saved_content() -> dict[str, object]:
    """What `describe` returns of a ResNet-18 with two kinds of modules."""

    def site(
        name: str, channels: int, attention: str, options: dict[str, object], note: str = ""
    ) -> dict[str, object]:
        return {
            "name": name,
            "module": f"{name}.attn_inject",
            "block": "BasicBlock",
            "attention": attention,
            "options": options,
            "placement": "after",
            "start": "identity",
            "layout": "NCHW",
            "channels": channels,
            "height": 56,
            "width": 56,
            "elements": channels * 58,
            "note": note,
        }

    ela: dict[str, object] = {"kernel_size": 7, "groups": "C/8", "shared": True}
    return {
        "file": "models/[bold]m.pt",
        "bytes": 47_299_737,
        "model": "resnet18",
        "source": "timm",
        "arguments": {"num_classes": 10},
        "input_size": [3, 224, 224],
        "sites": [
            site("layer1.0", 64, "ela-l", ela),
            site("layer1.1", 64, "ela-l", ela),
            site("layer2.0", 24, "sa", {"groups": 8}, "groups=64 does not divide 24 channels: 8 used"),
        ],
        "tensors": 146,
        "elements": 11_810_000,
        "inserted_tensors": 24,
        "inserted_elements": 111_360,
        "only": "all",
        "witness": True,
        "digest": "c7efc43f5705c38f",
        "plans": [json.loads(json.dumps(to_dict(Plan(attention=as_specs("ela-l")))))],
        "versions": VERSIONS,
    }


def restored_content() -> dict[str, object]:
    """What `attn_inject.restore` returns."""
    return {
        "file": "base.pt",
        "from": "m.pt",
        "model": "resnet18",
        "source": "timm",
        "tensors": 122,
        "elements": 11_698_640,
        "removed_tensors": 24,
        "removed_elements": 111_360,
        "taken": ["layer1.0.conv1.weight"],
    }


def exported_content(**changes: object) -> dict[str, object]:
    """What `attn_inject.export` returns."""
    figures = {"samples": 5, "difference": 1.2e-6, "largest": 4.56789, "top1": 5}
    return {
        "file": "m.onnx",
        "bytes": 102_500_000,
        "format": "onnx",
        "batch_size": None,
        **figures,
        **changes,
    }
