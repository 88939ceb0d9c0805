"""Plots of cost tables as one self-contained page, drawn by plotly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attn_inject.cost.figures import StatsRow
from attn_inject.display.escaping import html_text
from attn_inject.display.picture import (
    BOTTOM,
    CAPTION,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Dot,
    Panel,
    site_shares,
)


def bubbles_page(drawn: Sequence[Panel]) -> str:
    """Labelled bubbles, each with its figures under the pointer; one plot per model."""
    return _page([_bubbles(panel) for panel in drawn])


def bars_page(rows: Sequence[StatsRow]) -> str:
    """What each site adds, in percent of the base; one plot per module."""
    return _page([_bars(row) for row in rows])


def _page(figures: Sequence[Any]) -> str:
    import plotly.io

    parts = [
        plotly.io.to_html(figure, full_html=False, include_plotlyjs=index == 0)
        for index, figure in enumerate(figures)
    ]
    head = '<!doctype html><html><head><meta charset="utf-8"><title>attn-inject stats</title></head><body>'
    return f"{head}\n{''.join(parts)}\n</body></html>\n"


def _bubbles(panel: Panel) -> Any:
    import plotly.graph_objects as go

    dots = sorted(panel.dots, key=lambda dot: -dot.bubble.radius)
    figure = go.Figure(
        go.Scatter(
            x=[dot.x for dot in dots],
            y=[dot.y for dot in dots],
            mode="markers",
            text=[html_text(dot.note) for dot in dots],
            hoverinfo="text",
            marker={
                "size": [2 * dot.bubble.radius for dot in dots],
                "color": "#9db7dc",
                "opacity": 0.75,
                "line": {"color": "#4a6fa5", "width": 1},
            },
        )
    )
    figure.update_layout(
        title={"text": f"{html_text(panel.title)}: {CAPTION}", "font": {"size": 13}},
        width=WIDTH,
        height=HEIGHT,
        margin={"l": LEFT, "r": RIGHT, "b": BOTTOM, "t": TOP},
        template="plotly_white",
        showlegend=False,
        xaxis=_axis(panel.across),
        yaxis=_axis(panel.upwards),
        annotations=[_annotation(dot) for dot in dots if dot.label is not None],
    )
    return figure


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "title": axis.title,
        "range": [axis.low, axis.high],
        "tickvals": [at for at, _ in axis.ticks],
        "ticktext": [text for _, text in axis.ticks],
        "zeroline": False,
    }


def _annotation(dot: Dot) -> dict[str, Any]:
    """A label at its place, with a line to its bubble."""
    box, bubble = dot.label, dot.bubble
    assert box is not None
    return {
        "x": dot.x,
        "y": dot.y,
        "text": html_text(bubble.label),
        "ax": (box.left + box.right) / 2 - bubble.x,
        "ay": bubble.y - (box.bottom + box.top) / 2,
        "showarrow": True,
        "arrowhead": 0,
        "arrowwidth": 0.6,
        "arrowcolor": "#8a94a6",
        "standoff": bubble.radius,
        "font": {"size": 10, "color": "#1b1f24"},
    }


def _bars(row: StatsRow) -> Any:
    import plotly.graph_objects as go

    shares = site_shares(row)
    names = [share["name"] for share in shares]
    bars = [
        go.Bar(name=quantity, x=names, y=[share[quantity] for share in shares], marker_color=color)
        for quantity, color in (("params", "#4a6fa5"), ("flops", "#e0a458"))
    ]
    figure = go.Figure(bars)
    figure.update_layout(
        title=html_text(f"{row.attention} on {row.model}, site by site"),
        width=WIDTH,
        height=420,
        template="plotly_white",
        yaxis={"title": "% of the base"},
    )
    return figure
