"""What a look at three images returns, small and awkward to lay out."""

import base64
from typing import Any

from attn_inject.cost.cost import Cost
from attn_inject.cost.figures import Timing
from attn_inject.insight.pruned import PruneReport, Step
from attn_inject.insight.seen import GateSeen, Look, Picture, SiteSeen
from attn_inject.insight.verdict import verdict

# One grey pixel.
THUMBNAIL = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0"
    "Hyc5PTgyPC4zNDL/wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8A"
    "Kp//2Q=="
)


def gate_seen(name: str, **figures: Any) -> GateSeen:
    """A gate that saturates a little."""
    known: dict[str, Any] = {
        "mean": 0.4827,
        "std": 0.1934,
        "near_0": 0.021,
        "near_1": 0.0034,
        "constant": 0.25,
        "class_spread": 0.0312,
        "by_class": {"cats": 0.47, "<i>dogs": 0.5},
        "histogram": (40, *range(100, 1000, 50), 6),
    }
    return GateSeen(name=name, **{**known, **figures})


def looked() -> Look:
    """Three sites on three images: a gated one, an idle one of two gates, and one that replaces a layer."""
    common: dict[str, Any] = {"attention": "cbam", "placement": "after"}
    gates = (gate_seen("channels"), gate_seen("positions", mean=0.9987, near_1=0.991, constant=1.0))
    sites = (
        SiteSeen(
            **common,
            site="layer1.0",
            module="layer1.0.attn_inject",
            alpha=0.3141,
            change=0.61,
            contribution=0.1916,
            gates=(gate_seen("rows"),),
            agreement=2 / 3,
            divergence=0.12345,
        ),
        SiteSeen(
            **common,
            site="layer2.0",
            module="layer2.0.attn_inject",
            alpha=0.0,
            change=0.01,
            contribution=0.0,
            gates=gates,
            agreement=1.0,
            divergence=0.0,
        ),
        SiteSeen(
            site="layer3.0.conv2",
            module="layer3.0.conv2.attn_inject",
            attention="sasa",
            placement="replace-conv",
            alpha=None,
            change=None,
            contribution=None,
            gates=(),
        ),
    )
    drawn = (2, 2, bytes([0, 80, 160, 255]))
    pictures = tuple(
        Picture(
            name=f"{label}/{number}.jpg",
            label=label,
            thumbnail=THUMBNAIL,
            said=("<script>cat", 0.8),
            base_said=("tabby & co", 0.7),
            maps={"layer1.0": drawn, "layer2.0": drawn},
            base_cam=drawn,
            cam=(2, 2, bytes([255, 0, 0, 0])),
            cam_class="tabby & co",
        )
        for number, label in enumerate(("cats", "cats", "<i>dogs"))
    )
    return Look(
        model="model[1].pt",
        images=3,
        classes=("cats", "<i>dogs"),
        preprocessing="bicubic, center crop of 0.875 to 224x224; timm's configuration of resnet18",
        base="the base",
        sites=sites,
        agreement=2 / 3,
        divergence=0.2,
        verdict=verdict(sites, 3, 2 / 3, "the base"),
        seconds={"plain": 0.5, "watched": 0.7, "base": 0.5, "bypassed": 1.0},
        notes=("3 of 9 images were taken, evenly; --limit N takes more.",),
        pictures=pictures,
        scales={"layer1.0": (0.1, 0.9), "layer2.0": (0.0, 1.0)},
    )


def pruned() -> PruneReport:
    """Two of three sites taken out."""
    steps = [
        Step(site=name, module=f"{name}.attn_inject", contribution=share, divergence=moved, agreement=same)
        for name, share, moved, same in (
            ("layer2.0", 0.0, 0.0, 1.0),
            ("layer[1].0", 0.0123, 0.004, 1.0),
            ("layer3.0", 0.4, 0.31, 2 / 3),
        )
    ]
    before, after = (Timing(median=s, low=s, high=s, repetitions=9) for s in (0.0123, 0.0118))
    return PruneReport(
        model="model[1].pt",
        bound="--max-change 0.01",
        images=3,
        preprocessing="bicubic, center crop of 0.875 to 224x224; timm's configuration of resnet18",
        steps=tuple(steps[:2]),
        kept=("layer3.0",),
        next=steps[2],
        before=Cost(params=11_700_000, flops=1_800_000_000, activations=2_480_000),
        after=Cost(params=11_690_000, flops=1_799_990_000, activations=2_480_000),
        latency=(before, after),
        file="pruned.pt",
    )
