"""pytorchcv: classic architectures, from constructors whose `channels` list the units of each stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import torch

from tests.corpus.case import Case, Place, layers, no_blocks, of_class, partly, stated

# From the built model and the arguments that it was built with.
Places = Callable[[Any, Mapping[str, Any]], Sequence[Place]]
STAGES = [[16], [24, 24], [32, 32]]
WIDE = [[32], [64, 64], [96, 96]]
USUAL = {"channels": STAGES, "init_block_channels": 16, "in_size": (64, 64), "num_classes": 5}
BASIC = {**USUAL, "bottleneck": False}
DEEP = {**USUAL, "channels": WIDE, "init_block_channels": 32}
LAST_POOL = 7  # pixels; the last pool of a network is made for one size of image
CIFAR = {**BASIC, "in_size": (32, 32)}


def case(
    file: str, name: str, settings: Mapping[str, Any], places: Places, *, size: int = 64, title: str = ""
) -> Case:
    """A network of one of the library's files, with two images of `size` pixels."""
    kind = getattr(import_module(f"pytorchcv.models.{file}"), name)

    def build() -> torch.nn.Module:
        # Some constructors write into the lists that they are given.
        model: torch.nn.Module = kind(**{key: _copied(value) for key, value in settings.items()})
        for owner in model.modules():
            for name, child in owner.named_children():
                if isinstance(child, torch.nn.AvgPool2d) and child.kernel_size >= LAST_POOL:
                    setattr(owner, name, torch.nn.AdaptiveAvgPool2d(1))
        return model

    return Case(
        title or name, build, partial(torch.randn, 2, 3, size, size), lambda model: places(model, settings)
    )


def _copied(value: Any) -> Any:
    return [_copied(item) for item in value] if isinstance(value, list) else value


def units(kind: str) -> Places:
    """As many units as `channels` lists, each with a shortcut."""
    return lambda _, settings: [layers(kind, sum(map(len, settings["channels"])))]


def keeping(kind: str, flag: str = "residual") -> Places:
    """As many units as `channels` lists; those that keep size and width have a shortcut."""

    def places(model: Any, settings: Mapping[str, Any]) -> list[Place]:
        count = sum(map(len, settings["channels"]))
        residual = sum(bool(getattr(unit, flag)) for unit in of_class(model, kind))
        return [partly(f"*:{kind}", count, residual, "a unit that changes size or width has no shortcut")]

    return places


def not_first(kind: str) -> Places:
    """The first unit of each stage changes the size, without a shortcut."""

    def places(_: Any, settings: Mapping[str, Any]) -> list[Place]:
        stages = settings["channels"]
        count = sum(map(len, stages))
        why = "the first unit of each stage changes the size and has no shortcut"
        return [partly(f"*:{kind}", count, count - len(stages), why)]

    return places


def half(model: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Units that add within one half of their channels, and concatenate the other."""
    stages = settings["channels"]
    count = sum(map(len, stages))
    why = "the first unit of each stage changes the size; the others add within one half of their channels"
    return [partly("*:ShuffleUnit", count, count - len(stages), why)]


def vovnet(model: Any, _: Mapping[str, Any]) -> list[Place]:
    """Units that concatenate; all but the first of a stage add their input too."""
    every = of_class(model, "VoVUnit")
    why = "the first unit of each stage has use_residual=False and only concatenates"
    return [partly("*:VoVUnit", len(every), sum(unit.use_residual for unit in every), why)]


def efficientnet(model: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Two classes of units; those that keep size and width have a shortcut."""
    why = "a unit that changes size or width has no shortcut"
    first, *rest = settings["channels"]
    plain, inverted = of_class(model, "EffiDwsConvUnit"), of_class(model, "EffiInvResUnit")
    return [
        partly("*:EffiDwsConvUnit", len(first), sum(unit.residual for unit in plain), why),
        partly("*:EffiInvResUnit", sum(map(len, rest)), sum(unit.residual for unit in inverted), why),
    ]


def dla(_: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Trees, whose leaves are two to the power of their level."""
    return [layers("DLAResBlock", sum(2**level for level in settings["levels"]))]


def hrnet(_: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Units in each branch of each module, and in the first and the last block."""
    modules, branches = settings["num_modules"], settings["num_subblocks"]
    inner = sum(count * sum(units) for count, units in zip(modules, branches, strict=True))
    count = settings["init_num_subblocks"] + inner
    why = "the last block has one more unit for each branch"
    return [partly("*:ResUnit", count, count + len(settings["channels"][-1]), why)]


def revnet(_: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Units that add to a projection, and units that only call a reversible block, where the sums are."""
    return [stated("features.stage*", sum(map(len, settings["channels"])))]


def darknet(_: Any, settings: Mapping[str, Any]) -> list[Place]:
    """The first unit of each stage is a convolution."""
    stages = settings["channels"]
    count = sum(map(len, stages))
    why = "the first unit of each stage is a convolution that changes the size"
    return [partly("*:DarkUnit", count, count - len(stages), why)]


def dpn(model: Any, settings: Mapping[str, Any]) -> list[Place]:
    """Units of two paths: one is added, one grows."""
    return [layers("DPNUnit", sum(map(len, settings["channels"])))]


def nothing(why: str) -> Places:
    """No shortcut."""
    return lambda _model, _settings: no_blocks(why)


DPN = {
    **USUAL,
    "channels": [[28], [56, 64]],
    "init_block_kernel_size": 3,
    "init_block_padding": 1,
    "groups": 4,
}
DPN |= {
    "rs": [16, 32],
    "bws": [16, 32],
    "incs": [4, 8],
    "b_case": True,
    "for_training": True,
    "test_time_pool": False,
}
MOBILE = {**USUAL, "final_block_channels": 64}
HRNET = {
    "channels": [[8, 16], [8, 16, 24], [8, 16, 24, 32]],
    "init_block_channels": 128,
    "init_num_subblocks": 1,
}
HRNET |= {"num_modules": [1, 1, 2], "num_subblocks": [[1, 1], [1, 1, 2], [1, 1, 1, 1]]}

CASES = [
    case("resnet", "ResNet", {**BASIC, "conv1_stride": True}, units("ResUnit")),
    case("preresnet", "PreResNet", {**BASIC, "conv1_stride": True}, units("PreResUnit")),
    case("seresnet", "SEResNet", {**DEEP, "bottleneck": True, "conv1_stride": True}, units("SEResUnit")),
    case("resnext", "ResNeXt", {**DEEP, "cardinality": 4, "bottleneck_width": 16}, units("ResNeXtUnit")),
    case("senet", "SENet", {**DEEP, "cardinality": 4, "bottleneck_width": 16}, units("SENetUnit")),
    case("resnesta", "ResNeStA", {**DEEP, "bottleneck": False}, units("ResNeStAUnit")),
    case("ibnresnet", "IBNResNet", DEEP, units("IBNResUnit")),
    case("airnet", "AirNet", {**DEEP, "ratio": 2}, units("AirUnit")),
    case("bamresnet", "BamResNet", {**DEEP, "bottleneck": False}, units("BamResUnit")),
    case("cbamresnet", "CbamResNet", {**DEEP, "bottleneck": False}, units("CbamResUnit")),
    case("sknet", "SKNet", {**DEEP, "channels": [[64], [128, 128]]}, units("SKNetUnit")),
    case("scnet", "SCNet", {**DEEP, "channels": [[64], [128, 128]]}, units("ScUnit")),
    case("regnet", "RegNet", {**USUAL, "groups": [2, 3, 4], "use_se": True}, units("RegNetUnit")),
    case("diaresnet", "DIAResNet", {**BASIC, "conv1_stride": True}, units("DIAResUnit")),
    case("pyramidnet_cifar", "CIFARPyramidNet", CIFAR, units("PyrUnit"), size=32),
    case(
        "wrn_cifar",
        "CIFARWRN",
        {k: v for k, v in CIFAR.items() if k != "bottleneck"},
        units("PreResUnit"),
        size=32,
    ),
    case(
        "ror_cifar",
        "CIFARRoR",
        {k: v for k, v in CIFAR.items() if k != "bottleneck"},
        units("RoRResUnit"),
        size=32,
    ),
    case(
        "rir_cifar",
        "CIFARRiR",
        {**{k: v for k, v in CIFAR.items() if k != "bottleneck"}, "final_block_channels": 64},
        units("RiRUnit"),
        size=32,
    ),
    case("shakeshakeresnet_cifar", "CIFARShakeShakeResNet", CIFAR, units("ShakeShakeResUnit"), size=32),
    case("octresnet", "OctResNet", {**DEEP, "bottleneck": False, "conv1_stride": True}, units("OctResUnit")),
    case("revnet", "RevNet", {**BASIC, "in_size": (32, 32)}, revnet, size=32),
    case(
        "bagnet",
        "BagNet",
        {**DEEP, "final_pool_size": LAST_POOL, "normal_kernel_sizes": [1, 1, 0]},
        units("BagNetUnit"),
    ),
    case(
        "dla",
        "DLA",
        {"levels": [1, 2, 2], "channels": [16, 24, 32], "init_block_channels": 16, "residual_root": False}
        | {"res_body_class": import_module("pytorchcv.models.resnet").ResBlock, "in_size": (64, 64)},
        dla,
    ),
    case("hrnet", "HRNet", {**HRNET, "in_size": (64, 64)}, hrnet),
    case("dpn", "DPN", DPN, dpn),
    case("darknet53", "DarkNet53", USUAL, darknet),
    case("shufflenet", "ShuffleNet", {**USUAL, "channels": WIDE, "groups": 2}, not_first("ShuffleUnit")),
    case(
        "shufflenetv2",
        "ShuffleNetV2",
        {**MOBILE, "use_residual": True},
        half,
        title="ShuffleNetV2 with residuals",
    ),
    case(
        "shufflenetv2", "ShuffleNetV2", MOBILE, nothing("each unit concatenates two halves of its channels")
    ),
    case(
        "mobilenet",
        "MobileNet",
        {"channels": STAGES, "first_stage_stride": True},
        nothing("a chain of convolutions"),
    ),
    case("mobilenetv2", "MobileNetV2", {**MOBILE, "remove_exp_conv": False}, keeping("LinearBottleneck")),
    case("igcv3", "IGCV3", MOBILE, keeping("InvResUnit")),
    case(
        "vovnet",
        "VoVNet",
        {"channels": WIDE, "branch_channels": [[16], [16, 16], [24, 24]], "num_branches": 3},
        vovnet,
    ),
    case(
        "efficientnet",
        "EfficientNet",
        {**MOBILE, "kernel_sizes": [[3], [3, 3], [5, 5]], "strides_per_stage": [1, 2, 2, 1]}
        | {"expansion_factors": [[1], [6, 6], [6, 6]]},
        efficientnet,
    ),
    case(
        "xception",
        "Xception",
        {"channels": [[32], [64], [128, 1024]], "in_size": (96, 96)},
        units("XceptionUnit"),
        size=96,
    ),
    case(
        "densenet", "DenseNet", {**USUAL, "channels": [[24, 32], [24, 32]]}, nothing("its units concatenate")
    ),
]
