"""ultralytics: detectors, segmenters, poses and classifiers, built from the library's own YAML files.

A row of such a file is `[from, repeats, module, arguments]`; the model keeps it as `model.yaml`. The rules
below say how many residual blocks a row makes, from the code of each module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from ultralytics.nn import tasks

from tests.corpus.case import Case, Place, no_blocks, of_class, stated, unstated

# For each module: the classes of its residual blocks, with how many one row of n repeats makes.
Rule = Callable[[int, Sequence[Any]], dict[str, int]]


def argument(arguments: Sequence[Any], index: int, default: Any) -> Any:
    """An argument of a row, whose first is the width."""
    return arguments[index] if len(arguments) > index else default


def c3k2(n: int, arguments: Sequence[Any]) -> dict[str, int]:
    """Bottlenecks: alone, two in a C3k, or one before an attention block."""
    if argument(arguments, 3, False):
        return {"Bottleneck": n, "PSABlock": n}
    return {"Bottleneck": 2 * n if argument(arguments, 1, False) else n}


def a2c2f(n: int, arguments: Sequence[Any]) -> dict[str, int]:
    """Two area attentions, or two Bottlenecks in a C3k."""
    return {"ABlock" if argument(arguments, 1, True) else "Bottleneck": 2 * n}


RULES: dict[str, Rule] = {
    "Bottleneck": lambda n, a: {"Bottleneck": n * bool(argument(a, 1, True))},
    "C3": lambda n, a: {"Bottleneck": n * bool(argument(a, 1, True))},
    "C2f": lambda n, a: {"Bottleneck": n * bool(argument(a, 1, False))},
    "C2fCIB": lambda n, a: {"CIB": n * bool(argument(a, 1, False))},
    "C3Ghost": lambda n, a: {"GhostBottleneck": n},
    "C3k2": c3k2,
    "A2C2f": a2c2f,
    "C2PSA": lambda n, a: {"PSABlock": n},
    "PSA": lambda n, a: {"PSA": n},
    "SPPF": lambda n, a: {"SPPF": n * bool(argument(a, 3, False))},
    "RepNCSPELAN4": lambda n, a: {"RepBottleneck": n * 2 * argument(a, 3, 1)},
    "HGBlock": lambda n, a: {"HGBlock": int(bool(argument(a, 4, False)))},
    "ResNetLayer": lambda n, a: {"ResNetBlock": 0 if argument(a, 3, False) else argument(a, 4, 1)},
    "AIFI": lambda n, a: {"AIFI": n},
}


def rows(model: Any) -> Iterator[tuple[str, int, Sequence[Any]]]:
    """Each row's module, its repeats scaled as the library scales them, and its arguments."""
    scales = model.yaml.get("scales", {"": [model.yaml.get("depth_multiple", 1.0)]})
    depth = scales[model.yaml.get("scale") or next(iter(scales))][0]
    for _, repeats, module, arguments in model.yaml["backbone"] + model.yaml["head"]:
        yield module, max(round(repeats * depth), 1) if repeats > 1 else repeats, arguments


def from_yaml(model: Any) -> list[Place]:
    """What the rows of the file make, class by class."""
    counts: dict[str, int] = {}
    for module, n, arguments in rows(model):
        for kind, count in RULES[module](n, arguments).items() if module in RULES else ():
            counts[kind] = counts.get(kind, 0) + count
    return [stated(f"*:{kind}", count) for kind, count in counts.items() if count]


def rtdetr(model: Any) -> list[Place]:
    """The file's rows, and what the code of two of them adds."""
    merged = sum(module == "RepC3" for module, _, _ in rows(model))
    projected = "it adds its re-parameterisable convolutions to a 1x1 convolution of the same input"
    return [
        *from_yaml(model),
        unstated("*:RepC3", merged, projected),
        unstated(
            "*:DeformableTransformerDecoderLayer",
            len(of_class(model, "DeformableTransformerDecoderLayer")),
            "the number of decoder layers stands in the code of RTDETRDecoder",
        ),
    ]


def case(
    file: str,
    kind: str = "DetectionModel",
    places: Callable[[Any], Sequence[Place]] = from_yaml,
    *,
    size: int = 64,
) -> Case:
    """A model of one of the library's files."""

    def build() -> torch.nn.Module:
        model: torch.nn.Module = getattr(tasks, kind)(f"{file}.yaml", verbose=False)
        return model

    return Case(file, build, partial(torch.rand, 2, 3, size, size), places)


CASES = [
    case("yolov3"),
    case("yolov3-tiny", places=lambda _: no_blocks("a chain of convolutions that is concatenated")),
    case("yolov5n"),
    case("yolov6n", places=lambda _: no_blocks("a chain of convolutions that is concatenated")),
    case("yolov8n"),
    case("yolov8n-seg", "SegmentationModel"),
    case("yolov8n-pose", "PoseModel"),
    case("yolov8n-obb", "OBBModel"),
    case("yolov8n-cls", "ClassificationModel"),
    case("yolov8n-ghost"),
    case("yolov9t"),
    case("yolov10n"),
    case("yolo11n"),
    case("yolo12n"),
    case("yolo26n"),
    case("rtdetr-l", "RTDETRDetectionModel", rtdetr, size=128),
    case("rtdetr-resnet50", "RTDETRDetectionModel", rtdetr, size=128),
]
