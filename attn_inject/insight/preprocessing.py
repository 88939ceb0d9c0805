"""How an image becomes the input of a model: as its library says, or as the user does, never by a guess."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from attn_inject.errors import ModelError, UsageError
from attn_inject.models.loaded import LoadedModel

_ALL = ("size", "mean", "std")
_EXAMPLE = "--size 224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes an input.

    Attributes:
        transform: From an RGB image to (3, H, W).
        mean: Subtracted from each channel, of values from 0 to 1.
        std: What each channel is then divided by.
        said: All of it in one sentence, and who says so.
    """

    transform: Callable[[Any], torch.Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    said: str

    def shown(self, x: torch.Tensor) -> torch.Tensor:
        """An input as an image again, (3, H, W) of values from 0 to 255."""
        mean, std = torch.tensor(self.mean).view(3, 1, 1), torch.tensor(self.std).view(3, 1, 1)
        return ((x * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def preprocessing(
    loaded: LoadedModel,
    *,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Preprocessing:
    """The preprocessing of a model; what is given overrules what its library says.

    Args:
        loaded: The model.
        size: Side of the square that is cut out of the middle, in pixels.
        mean: Of each channel, from 0 to 1.
        std: Of each channel.

    Raises:
        UsageError: Neither its library nor the caller says how; or a value does not fit.
        ModelError: It does not take RGB images.
    """
    channels = loaded.inputs.size[0] if loaded.inputs.size else 3
    if channels != 3 or (loaded.inputs.size is not None and len(loaded.inputs.size) != 3):
        raise ModelError(
            f"{loaded.provenance.name} takes inputs of {loaded.inputs.size}, and images are (3, H, W).",
            hint="look and prune run models of RGB images only.",
        )
    given = {"size": size, "mean": _three("mean", mean), "std": _three("std", std)}
    if all(value is not None for value in given.values()):
        return _by_hand(given)
    if loaded.provenance.source == "timm" or hasattr(loaded.model, "pretrained_cfg"):
        return _timm(loaded, given)
    if loaded.provenance.source == "torchvision":
        return _torchvision(loaded, given)
    missing = " and ".join(f"--{name}" for name in _ALL if given[name] is None)
    raise UsageError(
        f"Nothing says how images become inputs of {loaded.provenance.name}: {missing} missing.",
        hint=f"For example {_EXAMPLE}.",
    )


def _three(name: str, values: Sequence[float] | None) -> tuple[float, ...] | None:
    if values is None:
        return None
    if len(values) != 3 or (name == "std" and min(values) <= 0):
        raise UsageError(
            f"--{name} {','.join(map(str, values))} is not accepted; it is three numbers"
            f"{' above 0' if name == 'std' else ''}, one for each of red, green and blue.",
            hint=f"For example {_EXAMPLE}.",
        )
    return tuple(float(value) for value in values)


def _by_hand(given: dict[str, Any]) -> Preprocessing:
    from torchvision.transforms import v2

    size, mean, std = given["size"], given["mean"], given["std"]
    transform = v2.Compose(
        [
            v2.PILToTensor(),
            v2.Resize(size, antialias=True),
            v2.CenterCrop(size),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )
    said = f"shorter side to {size}, centre {size}x{size}, {_normed(mean, std)}; as given"
    return Preprocessing(transform, mean, std, said)


def _timm(loaded: LoadedModel, given: dict[str, Any]) -> Preprocessing:
    import timm.data

    asked: dict[str, Any] = {name: given[name] for name in ("mean", "std") if given[name] is not None}
    size = (3, given["size"], given["size"]) if given["size"] else loaded.inputs.size
    if size is not None:
        asked["input_size"] = tuple(size)
    config = timm.data.resolve_data_config(asked, model=loaded.model)
    transform = timm.data.create_transform(**config, is_training=False)
    mean, std = tuple(config["mean"]), tuple(config["std"])
    _, rows, columns = config["input_size"]
    said = (
        f"{config['interpolation']}, {config['crop_mode']} crop of {config['crop_pct']:g} to "
        f"{rows}x{columns}, {_normed(mean, std)}; "
        f"timm's configuration of {loaded.provenance.name}{_but(given)}"
    )
    return Preprocessing(transform, mean, std, said)


def _torchvision(loaded: LoadedModel, given: dict[str, Any]) -> Preprocessing:
    import torchvision
    from torchvision.transforms._presets import ImageClassification

    architecture, _, tag = loaded.provenance.name.partition(".")
    published = torchvision.models.get_model_weights(architecture)
    weights = published[tag] if tag else published.DEFAULT
    preset = weights.transforms()
    if not isinstance(preset, ImageClassification):
        raise ModelError(
            f"torchvision/{loaded.provenance.name} is not a classifier.",
            hint="look and prune run classifiers.",
        )
    crop, resize = preset.crop_size[0], preset.resize_size[0]
    side = given["size"] or (loaded.inputs.size[-1] if loaded.inputs.size else crop)
    mean, std = given["mean"] or tuple(preset.mean), given["std"] or tuple(preset.std)
    scaled = round(side * resize / crop)
    transform = ImageClassification(
        crop_size=side, resize_size=scaled, mean=mean, std=std, interpolation=preset.interpolation
    )
    said = (
        f"{preset.interpolation.value}, shorter side to {scaled}, centre {side}x{side}, "
        f"{_normed(mean, std)}; torchvision's transforms of {architecture}.{weights.name}{_but(given)}"
    )
    return Preprocessing(transform, mean, std, said)


def _normed(mean: Sequence[float], std: Sequence[float]) -> str:
    return f"mean {','.join(f'{v:.4g}' for v in mean)}, std {','.join(f'{v:.4g}' for v in std)}"


def _but(given: dict[str, Any]) -> str:
    own = [name for name in _ALL if given[name] is not None]
    return f", {' and '.join(own)} as given" if own else ""
