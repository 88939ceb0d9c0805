"""Where two models look: class activation maps of the same class on the same scale.

torchcam makes the maps (Grad-CAM); the comparison is ours.

Legend: N images, C channels, h rows and w columns of a map.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import nn

from attn_inject.errors import MissingExtraError
from attn_inject.insight.inference import called
from attn_inject.surgery.inserted import inserted_modules

Pair = tuple[torch.Tensor, torch.Tensor]


def require_torchcam() -> None:
    """Refuse before anything runs.

    Raises:
        MissingExtraError: torchcam is not installed.
    """
    if importlib.util.find_spec("torchcam") is None:
        raise MissingExtraError(
            "torchcam makes the class activation maps, and is not installed.",
            hint="Install it: pip install 'attn-inject[look]', or leave the maps out: --no-class-maps.",
        )


def last_map(model: nn.Module) -> str | None:
    """The last modified block whose output is a map or has a grid; None if there is none."""
    for module in reversed(list(inserted_modules(model).values())):
        edit = module.edit
        if edit is None or edit.site.map_size is None or edit.site.element is not None:
            continue
        if edit.replaces or edit.site.layout not in ("NCHW", "NHWC", "NLC"):
            continue
        return edit.name
    return None


def class_map(
    model: nn.Module,
    layer: str,
    batch: torch.Tensor,
    classes: Sequence[int],
    reshape: Callable[..., torch.Tensor],
) -> torch.Tensor:
    """Grad-CAM of each image for its class, not scaled, (N, h, w)."""
    from torchcam.methods import GradCAM

    with torch.enable_grad(), GradCAM(model, layer, reshape_transform=reshape) as extract:
        scores = called(model, batch.detach().requires_grad_())
        maps: torch.Tensor = extract(list(classes), scores, normalized=False)[0]
    return maps.detach().float().cpu()


def as_map_of(model: nn.Module, layer: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """What makes (N, C, h, w) of the output of a modified block."""
    edits = (module.edit for module in inserted_modules(model).values())
    site = next(edit.site for edit in edits if edit is not None and edit.name == layer)

    def reshape(y: torch.Tensor) -> torch.Tensor:
        if site.layout == "NHWC":
            return y.permute(0, 3, 1, 2)
        if site.layout == "NLC" and site.map_size is not None:
            cells = y[:, site.prefix : y.shape[1] - site.suffix]
            return torch.unflatten(cells.transpose(1, 2), 2, site.map_size)
        return y

    return reshape


def compared(
    model: nn.Module,
    base: nn.Module,
    as_base: Callable[[], AbstractContextManager[None]],
    layer: str,
    batches: Sequence[torch.Tensor],
    classes: Sequence[int],
) -> Pair:
    """The maps of the base and of the modified model, for the same classes, (N, h, w) each.

    Args:
        model: The modified model.
        base: The base, which may be the same object.
        as_base: The context in which `base` computes what the base computes.
        layer: The block whose output is explained.
        batches: (n, 3, H, W) each.
        classes: One for each image of all batches.

    Returns:
        Both divided by the larger maximum of each image, so that 1 is the most that either shows.
    """
    reshape = as_map_of(model, layer)
    pairs, at = [], 0
    for batch in batches:
        wanted = classes[at : at + len(batch)]
        at += len(batch)
        with as_base():
            before = class_map(base, layer, batch, wanted, reshape)
        after = class_map(model, layer, batch, wanted, reshape)
        top = torch.maximum(before.amax((1, 2)), after.amax((1, 2))).clamp_min(1e-12)[:, None, None]
        pairs.append((before / top, after / top))
    return torch.cat([one for one, _ in pairs]), torch.cat([other for _, other in pairs])
