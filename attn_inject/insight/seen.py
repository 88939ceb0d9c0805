"""What was seen of a model on images: frozen values, and the documented JSON made from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_inject.shown import Shown


@dataclass(frozen=True, kw_only=True)
class GateSeen:
    """One gate of an inserted module over all images.

    Attributes:
        name: `channels`, `rows`, `columns`, `positions`, `branches` or the module's own word.
        mean: Of all its values.
        std: Their standard deviation.
        near_0: Share of the values below 0.05.
        near_1: Share of the values from 0.95.
        constant: Share of its values whose standard deviation over the images is below 0.01; None with fewer
            than two images.
        class_spread: Standard deviation, over the classes, of each channel's mean gate, averaged over the
            channels; None with fewer than two classes.
        by_class: The mean gate of each class.
        histogram: How many values are in each of twenty equal parts of [0, 1].
    """

    name: str
    mean: float
    std: float
    near_0: float
    near_1: float
    constant: float | None
    class_spread: float | None
    by_class: Mapping[str, float]
    histogram: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class SiteSeen:
    """One inserted module on all images.

    Attributes:
        site: The block that holds it, `layer3.5`; a block's second module is `layer3.5#1`.
        module: Its qualified name, `layer3.5.attn_inject`.
        attention: The module with its options.
        placement: A key of `PLACEMENTS`.
        alpha: Its `alpha`; None with the paper start.
        change: Mean over the images of |A(x) - x| / |x|; None where x is not one map.
        contribution: Mean over the images of |y - x| / |x|, where y = x + alpha (A(x) - x); None if the
            module replaces a layer.
        gates: Its gates; empty for modules that have none.
        agreement: Share of the images whose most likely class stays when this one module is bypassed; None if
            it was not tried.
        divergence: Mean over the images of the Kullback-Leibler divergence of the softmax then, from that of
            the whole model, in nats.
    """

    site: str
    module: str
    attention: str
    placement: str
    alpha: float | None
    change: float | None
    contribution: float | None
    gates: tuple[GateSeen, ...]
    agreement: float | None = None
    divergence: float | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What the page shows of one image; not in the JSON.

    Attributes:
        name: The file's name, with its folder if that is its class.
        label: Its class, or "".
        thumbnail: The image as the model gets it, JPEG.
        said: The model's most likely class and its probability.
        base_said: The base's; None without a base.
        maps: For each site with a map, (rows, columns, values from 0 to 255); the scale is the site's own.
        base_cam: The base's class activation map in that form, for the class in `cam_class`; or None.
        cam: The modified model's, on the same scale.
        cam_class: The class that both maps explain: the base's most likely one.
    """

    name: str
    label: str
    thumbnail: bytes
    said: tuple[str, float]
    base_said: tuple[str, float] | None
    maps: Mapping[str, Drawn] = field(default_factory=dict)
    base_cam: Drawn | None = None
    cam: Drawn | None = None
    cam_class: str = ""


Drawn = tuple[int, int, bytes]


@dataclass(frozen=True, kw_only=True)
class Look(Shown):
    """What a modified model does on images; `to_json` is the documented interface.

    Attributes:
        model: The name that the user gave.
        images: How many were run.
        classes: The names of the folders, or nothing.
        preprocessing: How an image became an input, and who says so.
        base: What the model is compared with, or "" if nothing.
        sites: Each inserted module, in the order of the model.
        agreement: Share of the images whose most likely class is the base's; None without a base.
        divergence: Mean divergence of the model's softmax from the base's, in nats; None without a base.
        verdict: Sentences with the figures that matter.
        seconds: How long plain inference took, how long the watched one, and how long all bypassed runs.
        notes: Sentences for people: what was left out, and why.
        pictures: What the page shows of each image.
        scales: For each site with maps, the values that 0 and 255 stand for.
    """

    model: str
    images: int
    classes: tuple[str, ...]
    preprocessing: str
    base: str
    sites: tuple[SiteSeen, ...]
    agreement: float | None
    divergence: float | None
    verdict: tuple[str, ...]
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = field(default=(), repr=False)
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The document of `look --json`."""
        kept = dataclasses.asdict(dataclasses.replace(self, pictures=(), scales={}))
        return {name: value for name, value in kept.items() if name not in ("pictures", "scales")}
