"""How torchvision's models are called: which of its modules need an input other than one batch of images.

Legend: N batch, C channels, T frames, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from attn_inject.models.inputs import InputSpec

Size = tuple[int, ...]


@dataclass(frozen=True)
class InputKind:
    """The input of a family of models.

    Attributes:
        size: (C, H, W) of one image in pixels, or (C, T, H, W) of one video.
        form: `batch`, one tensor (N, C, H, W) or (N, C, T, H, W); `list`, a list of images (C, H, W), as
            detection models need; `pair`, two batches of images, as optical flow needs.
        arguments: The builder's arguments for a size, if the architecture is built for one size.
    """

    size: Size = (3, 224, 224)
    form: str = "batch"
    arguments: Callable[[Size], dict[str, Any]] = lambda size: {}

    def spec(self, size: Size) -> InputSpec:
        """How to call a model of this kind with images of `size`."""
        if self.form == "batch":
            return InputSpec(size=size)
        generator = torch.Generator().manual_seed(0)
        if self.form == "list":
            image = torch.rand(size, generator=generator)
            # Two, since a batch norm in training mode refuses a single value per channel.
            training = ([image, image.flip(-1)], [_target(size), _target(size)])
            return replace(InputSpec.from_example(([image],)), training_example=(training, {}))
        first, second = (torch.rand(1, *size, generator=generator) for _ in range(2))
        return InputSpec.from_example((first, second))


def _target(size: Size) -> dict[str, torch.Tensor]:
    """One object in the middle of the image, with everything that any detector reads."""
    rows, columns = size[-2:]
    box = torch.tensor([columns / 4, rows / 4, columns * 3 / 4, rows * 3 / 4])
    keypoints = torch.tensor([[columns / 2, rows / 2, 1.0]]).repeat(17, 1)
    return {
        "boxes": box[None],
        "labels": torch.tensor([1]),
        "masks": torch.ones(1, rows, columns, dtype=torch.uint8),
        "keypoints": keypoints[None],
    }


_VIDEO = InputKind(size=(3, 16, 224, 224))
# The first row counts whose module is a prefix of the model's.
_KINDS = {
    "detection": InputKind(form="list"),
    "optical_flow": InputKind(size=(3, 128, 128), form="pair"),
    "video.mvit": _VIDEO,
    "video.s3d": _VIDEO,
    "video.swin_transformer": _VIDEO,
    "video": InputKind(size=(3, 16, 112, 112)),
    "quantization.inception": InputKind(size=(3, 299, 299)),
    "inception": InputKind(size=(3, 299, 299)),
    "vision_transformer": InputKind(arguments=lambda size: {"image_size": size[-1]}),
    "maxvit": InputKind(arguments=lambda size: {"input_size": list(size[-2:])}),
    "": InputKind(),
}


def kind_of(module: str) -> InputKind | None:
    """The kind of the models that the Python module `module` defines; None outside torchvision."""
    package = "torchvision.models."
    if not module.startswith(package):
        return None
    return next(kind for start, kind in _KINDS.items() if module.removeprefix(package).startswith(start))
