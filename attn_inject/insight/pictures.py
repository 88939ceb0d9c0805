"""What the page shows of each image: a thumbnail, what the models say, and maps in one byte per position."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import torch

from attn_inject.insight.class_maps import Pair
from attn_inject.insight.looking import Inputs
from attn_inject.insight.preprocessing import Preprocessing
from attn_inject.insight.seen import Drawn, Picture
from attn_inject.insight.site_record import SiteRecord

_SIDE = 160  # pixels of a thumbnail's longer side


def pictures(
    inputs: Inputs,
    prepared: Preprocessing,
    records: Mapping[str, SiteRecord],
    ours: torch.Tensor,
    theirs: torch.Tensor | None,
    names: Sequence[str],
    pair: Pair | None,
) -> tuple[tuple[Picture, ...], dict[str, tuple[float, float]]]:
    """One picture per image, and for each site the values that 0 and 255 stand for.

    Args:
        inputs: The images.
        prepared: How they became inputs.
        records: What each site did.
        ours: Log-probabilities of the model, (N, K).
        theirs: Those of the base, or None.
        names: Of the classes.
        pair: The class activation maps, from 0 to 1, or None.
    """
    count = len(inputs.files)
    maps = {site: record.one_map_per_image(count) for site, record in records.items()}
    scales = {site: (float(m.min()), float(m.max())) for site, m in maps.items() if m is not None}
    images = [image for batch in inputs.batches for image in batch.cpu()]
    found = []
    for at, file in enumerate(inputs.files):
        own = {site: drawn(m[at], scales[site]) for site, m in maps.items() if m is not None}
        found.append(
            Picture(
                name=file.name,
                label=file.label,
                thumbnail=_jpeg(prepared.shown(images[at])),
                said=_said(ours[at], names),
                base_said=None if theirs is None else _said(theirs[at], names),
                maps=own,
                base_cam=None if pair is None else drawn(pair[0][at], (0.0, 1.0)),
                cam=None if pair is None else drawn(pair[1][at], (0.0, 1.0)),
                cam_class="" if theirs is None else names[int(theirs[at].argmax())],
            )
        )
    return tuple(found), scales


def drawn(values: torch.Tensor, scale: tuple[float, float]) -> Drawn:
    """A map, (h, w), as bytes: 0 for the lower end of the scale, 255 for the upper one."""
    low, high = scale
    level = (values - low) / max(high - low, 1e-12)
    cells = (level.clamp(0, 1) * 255).round().to(torch.uint8)
    return values.shape[0], values.shape[1], bytes(cells.flatten().tolist())


def _said(logarithms: torch.Tensor, names: Sequence[str]) -> tuple[str, float]:
    index = int(logarithms.argmax())
    return names[index], float(logarithms[index].exp())


def _jpeg(image: torch.Tensor) -> bytes:
    """(3, H, W), 0 to 255, as a small JPEG file."""
    from PIL import Image

    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    picture.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return file.getvalue()
