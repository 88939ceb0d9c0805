"""Plots of cost tables as .svg and .png, drawn by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from attn_inject.cost.figures import StatsRow
from attn_inject.display.picture import (
    BOTTOM,
    CAPTION,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Dot,
    Panel,
    site_shares,
)

_BLUE, _SOFT, _INK, _LINE = "#4a6fa5", "#9db7dc", "#1b1f24", "#8a94a6"
_DPI = 100
_BAR_COLUMNS = 3


def bubbles_file(drawn: Sequence[Panel], suffix: str) -> bytes:
    """Bubbles, labelled; one panel per model."""
    return _as_file(_bubbles(drawn), suffix)


def bars_file(rows: Sequence[StatsRow], suffix: str) -> bytes:
    """What each site adds, in percent of the base; one small panel a module."""
    return _as_file(_bars(rows), suffix)


def _as_file(figure: Any, suffix: str) -> bytes:
    import matplotlib

    out = io.BytesIO()
    # Text stays text, and the same table gives the same file.
    settings = {"svg.fonttype": "none", "svg.hashsalt": "attn-inject", "font.family": "sans-serif"}
    with matplotlib.rc_context(settings):
        metadata = {"Date": None} if suffix == ".svg" else None
        figure.savefig(out, format=suffix[1:], metadata=metadata, dpi=_DPI)
    return out.getvalue()


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure


def _bubbles(drawn: Sequence[Panel]) -> Any:
    height = HEIGHT * len(drawn)
    figure = _figure(WIDTH, height)
    for index, panel in enumerate(drawn):
        bottom = height - (index + 1) * HEIGHT
        axes = figure.add_axes(
            (
                LEFT / WIDTH,
                (bottom + BOTTOM) / height,
                (WIDTH - LEFT - RIGHT) / WIDTH,
                (HEIGHT - BOTTOM - TOP) / height,
            )
        )
        _draw_panel(axes, panel)
    return figure


def _draw_panel(axes: Any, panel: Panel) -> None:
    axes.set_title(f"{panel.title}: {CAPTION}", fontsize=11, color=_INK)
    for axis, set_limits, set_ticks, set_label in (
        (panel.across, axes.set_xlim, axes.set_xticks, axes.set_xlabel),
        (panel.upwards, axes.set_ylim, axes.set_yticks, axes.set_ylabel),
    ):
        set_limits(axis.low, axis.high)
        set_ticks([at for at, _ in axis.ticks], [text for _, text in axis.ticks], fontsize=9)
        set_label(axis.title, fontsize=10)
    axes.grid(color="#e3e7ee", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    ordered = sorted(panel.dots, key=lambda dot: -dot.bubble.radius)
    sizes = [(2 * dot.bubble.radius * 72 / _DPI) ** 2 for dot in ordered]  # areas, square points
    spots = [dot.x for dot in ordered], [dot.y for dot in ordered]
    axes.scatter(*spots, s=sizes, c=_SOFT, edgecolors=_BLUE, linewidths=0.9, alpha=0.75, zorder=3)
    for dot in ordered:
        if dot.label is not None:
            _label(axes, dot)


def _label(axes: Any, dot: Dot) -> None:
    box, bubble = dot.label, dot.bubble
    assert box is not None
    middle = (box.left + box.right) / 2 - bubble.x, (box.bottom + box.top) / 2 - bubble.y
    far = max(abs(middle[0]) - (box.right - box.left) / 2, abs(middle[1]) - (box.top - box.bottom) / 2)
    axes.annotate(
        bubble.label,
        (dot.x, dot.y),
        xytext=tuple(pixels * 72 / _DPI for pixels in middle),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=8,
        color=_INK,
        zorder=4,
        arrowprops=_leader() if far > bubble.radius + 6 else None,
    )


def _leader() -> dict[str, Any]:
    return {"arrowstyle": "-", "color": _LINE, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}


def _bars(rows: Sequence[StatsRow]) -> Any:
    across = min(_BAR_COLUMNS, len(rows))
    down = -(-len(rows) // across)
    figure = _figure(360 * across, 260 * down)
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(rows) :]:
        axes.remove()
    for axes, row in zip(grid.flat, rows, strict=False):
        shares = site_shares(row)
        places = range(len(shares))
        for offset, (quantity, color) in enumerate((("params", _BLUE), ("flops", "#e0a458"))):
            heights = [share[quantity] for share in shares]
            axes.bar([at + 0.4 * offset for at in places], heights, 0.4, color=color, label=quantity)
        axes.set_title(f"{row.attention} on {row.model}", fontsize=9)
        axes.set_xticks([at + 0.2 for at in places], [share["name"] for share in shares], fontsize=6)
        axes.tick_params(axis="x", rotation=90)
        axes.tick_params(axis="y", labelsize=7)
        axes.set_ylabel("% of the base", fontsize=7)
        axes.margins(x=0.02)
    grid.flat[0].legend(fontsize=7, frameon=False)
    figure.tight_layout()
    return figure
