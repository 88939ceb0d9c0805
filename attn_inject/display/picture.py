"""The plot of a cost table, before anything is drawn: bubbles, axes and labels in pixels.

The x axis shows the parameters that a module adds, the y axis the flops, both in percent of the base; a
larger bubble means that the gates move more bytes. Costs differ by powers of ten and may be zero, so an axis
is logarithmic except near zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from attn_inject.cost.figures import Stats, StatsRow
from attn_inject.display.labels import Box, Bubble, place
from attn_inject.display.numbers import storage

CAPTION = "the larger a bubble, the more its gates move through memory"
WIDTH, HEIGHT = 960, 600  # of one panel, pixels
LEFT, RIGHT, BOTTOM, TOP = 80, 24, 60, 44  # margins, pixels
_NEAR_ZERO = 1e-3  # percent; where an axis turns from linear to logarithmic
_TICKS = (0.001, 0.01, 0.1, 1, 10, 100, 1000, 10000)
_LARGEST, _SMALLEST = 26.0, 3.0  # radius of a bubble, pixels


@dataclass(frozen=True)
class Axis:
    """One axis of a panel.

    Attributes:
        title: What it shows.
        low: Its lower end, on the axis' own scale.
        high: Its upper end.
        ticks: Positions and texts.
    """

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share(self, at: float) -> float:
        """The position of a value along the axis, from 0 to 1."""
        return (at - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Dot:
    """One module: where it lies on the axes, in pixels within the panel, and where its label goes."""

    x: float
    y: float
    bubble: Bubble
    label: Box | None
    note: str


@dataclass(frozen=True)
class Panel:
    """All modules on one model."""

    title: str
    across: Axis
    upwards: Axis
    dots: tuple[Dot, ...]


def panels(stats: Stats) -> list[Panel]:
    """One panel for each model with at least one module that fits."""
    found = []
    for (model, source), rows in groupby(stats.rows, key=lambda row: (row.model, row.source)):
        counted = [row for row in rows if row.attention is not None and row.delta_params is not None]
        if counted:
            found.append(_panel(f"{model} ({source})", counted))
    return found


def on_scale(percent: float) -> float:
    """A percentage on the axis' scale."""
    return math.copysign(math.log10(1 + abs(percent) / _NEAR_ZERO), percent)


def site_shares(row: StatsRow) -> list[dict[str, Any]]:
    """What each site adds, in percent of the base's parameters and flops, under the site's `name`."""
    base_params = (row.params or 0) - (row.delta_params or 0)
    base_flops = (row.flops or 0) - (row.delta_flops or 0)
    return [
        {
            "name": item.site.name,
            "params": 100 * item.params / max(1, base_params),
            "flops": 100 * item.flops / max(1, base_flops),
        }
        for item in row.per_site
    ]


def _panel(title: str, rows: Sequence[StatsRow]) -> Panel:
    spots = [
        (on_scale(row.relative("params") or 0.0), on_scale(row.relative("flops") or 0.0)) for row in rows
    ]
    across = _axis("added params, % of the base", [x for x, _ in spots])
    upwards = _axis("added flops, % of the base", [y for _, y in spots])
    most = max((row.gate_bytes or 0) for row in rows) or 1
    bubbles = [
        Bubble(
            x=LEFT + across.share(x) * (WIDTH - LEFT - RIGHT),
            y=BOTTOM + upwards.share(y) * (HEIGHT - BOTTOM - TOP),
            radius=max(_SMALLEST, _LARGEST * (max(0, row.gate_bytes or 0) / most) ** 0.25),
            label=row.attention or "",
        )
        for row, (x, y) in zip(rows, spots, strict=True)
    ]
    labels = place(bubbles, Box(LEFT + 4, BOTTOM + 4, WIDTH - RIGHT - 4, HEIGHT - TOP - 4))
    dots = tuple(
        Dot(x=x, y=y, bubble=bubble, label=label, note=_note(row))
        for row, (x, y), bubble, label in zip(rows, spots, bubbles, labels, strict=True)
    )
    return Panel(title, across, upwards, dots)


def _axis(title: str, places: Sequence[float]) -> Axis:
    low, high = min(0.0, *places), max(on_scale(0.01), *places)
    margin = 0.07 * (high - low)
    texts = [
        (0.0, "0"),
        *((on_scale(sign * tick), f"{sign * tick:g}") for tick in _TICKS for sign in (1, -1)),
    ]
    ticks = tuple(sorted(tick for tick in texts if low <= tick[0] <= high))
    return Axis(title, low - margin, high + margin, ticks)


def _note(row: StatsRow) -> str:
    """The text of a bubble under the pointer."""
    return (
        f"{row.attention}: {row.delta_params:+,} params ({row.relative('params') or 0:+.3g}%), "
        f"{row.delta_flops:+,} flops ({row.relative('flops') or 0:+.3g}%), "
        f"gates move {storage(row.gate_bytes or 0)}"
    )
