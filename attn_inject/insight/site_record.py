"""What one inserted module did on all images, collected batch by batch.

Legend: N batch, c channels of a gate, h rows and w columns of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F

from attn_inject.insight.moments import Moments
from attn_inject.insight.seen import GateSeen
from attn_inject.insight.watching import Call

STILL = 0.01  # standard deviation over the images below which a value of a gate counts as constant
_MAP_SIDE = 14  # positions; larger maps are averaged down to this before they are kept


class GateRecord:
    """One gate: all its values, and each channel's mean on each image."""

    def __init__(self) -> None:
        self.moments = Moments()
        self._means: list[torch.Tensor] = []  # (N, c) each
        self._sum: torch.Tensor | None = None  # (c, h, w)
        self._squares: torch.Tensor | None = None
        self._images = 0

    def add(self, gate: torch.Tensor) -> None:
        """Add a batch, (N, c, h, w)."""
        self.moments.add(gate)
        values = gate.double()
        self._means.append(gate.float().mean((2, 3)).cpu())
        total, squares = values.sum(0), values.square().sum(0)
        # A map of another size, as of an image of another shape, begins anew.
        if self._sum is None or self._squares is None or self._sum.shape != total.shape:
            self._sum, self._squares, self._images = total, squares, len(gate)
        else:
            self._sum, self._squares = self._sum + total, self._squares + squares
            self._images += len(gate)

    def seen(self, name: str, labels: Sequence[str]) -> GateSeen:
        """The figures, for images of these classes ("" where there are none)."""
        mean, std, near_0, near_1 = self.moments.figures().tolist()
        by_class = self._class_means(labels)
        spread = None
        if len(by_class) > 1:
            spread = float(torch.stack(list(by_class.values())).std(0, correction=0).mean())
        return GateSeen(
            name=name,
            mean=mean,
            std=std,
            near_0=near_0,
            near_1=near_1,
            constant=self._constant(),
            class_spread=spread,
            by_class={label: float(means.mean()) for label, means in by_class.items()},
            histogram=tuple(int(count) for count in self.moments.histogram.tolist()),
        )

    def _constant(self) -> float | None:
        if self._sum is None or self._squares is None or self._images < 2:
            return None
        mean = self._sum / self._images
        spread = (self._squares / self._images - mean.square()).clamp_min(0).sqrt()
        return float((spread < STILL).float().mean())

    def _class_means(self, labels: Sequence[str]) -> Mapping[str, torch.Tensor]:
        """(c,) of each class."""
        means = torch.cat(self._means)
        if len(means) != len(labels) or not any(labels):
            return {}
        return {
            label: means[[at for at, own in enumerate(labels) if own == label]].mean(0)
            for label in dict.fromkeys(labels)
        }


class SiteRecord:
    """One site: its gates, its contribution to each image, and where on the image it acts."""

    def __init__(self) -> None:
        self.gates: dict[str, GateRecord] = {}
        self.changes: list[torch.Tensor] = []
        self.contributions: list[torch.Tensor] = []
        self.maps: list[torch.Tensor] = []  # (N, h, w) each

    def add(self, call: Call) -> None:
        """Add a batch."""
        images = len(call.x)
        gates = {name: _per_image(gate.detach(), images) for name, gate in call.gates.items()}
        for name, gate in gates.items():
            self.gates.setdefault(name, GateRecord()).add(gate)
        for held, value in ((self.changes, call.change()), (self.contributions, call.contribution())):
            if value is not None:
                held.append(value.cpu())
        drawn = _spatial(gates) if gates else _residual(call, images)
        if drawn is not None:
            self.maps.append(F.adaptive_avg_pool2d(drawn, _bounded(drawn)).float().cpu())

    def one_map_per_image(self, images: int) -> torch.Tensor | None:
        """(images, h, w), or None if there is none."""
        if not self.maps or len({tuple(drawn.shape[1:]) for drawn in self.maps}) > 1:
            return None
        drawn = torch.cat(self.maps)
        return drawn if len(drawn) == images else None


def _per_image(gate: torch.Tensor, images: int) -> torch.Tensor:
    """A gate of frames or windows, averaged over those of each image."""
    if len(gate) == images or len(gate) % images:
        return gate
    return torch.unflatten(gate, 0, (images, -1)).mean(1)


def _spatial(gates: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """The product of all gates that differ from position to position, (N, h, w); None if none does."""
    spatial = [gate.float().mean(1) for gate in gates.values() if gate.shape[2] * gate.shape[3] > 1]
    if not spatial:
        return None
    rows = max(gate.shape[1] for gate in spatial)
    columns = max(gate.shape[2] for gate in spatial)
    product = spatial[0].new_ones(len(spatial[0]), rows, columns)
    for gate in spatial:
        size = tuple(
            whole if own > 1 else 1 for own, whole in zip(gate.shape[1:], (rows, columns), strict=True)
        )
        product = product * F.interpolate(gate.unsqueeze(1), size, mode="nearest").squeeze(1)
    return product


def _residual(call: Call, images: int) -> torch.Tensor | None:
    """|A(x) - x| at each position, (N, h, w), for a module without a gate."""
    if call.inner is None or call.inner[0].shape != call.inner[1].shape or len(call.inner[0]) != images:
        return None
    x, y = (tensor.detach().float() for tensor in call.inner)
    size: torch.Tensor = torch.linalg.vector_norm(y - x, dim=1)
    return size


def _bounded(drawn: torch.Tensor) -> tuple[int, int]:
    return min(_MAP_SIDE, drawn.shape[1]), min(_MAP_SIDE, drawn.shape[2])
