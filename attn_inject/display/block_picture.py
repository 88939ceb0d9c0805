"""Graphs of blocks as one small SVG, legible on light and dark paper.

Steps stand from left to right in the order of their data. The longest way from the input to the output is the
main line; what runs beside it, a shortcut, is drawn below.
"""

from __future__ import annotations

from collections.abc import Sequence

from attn_inject.block_graph import BlockGraph, Step
from attn_inject.display.escaping import html_text

_HEIGHT, _LANE, _GAP, _MARGIN, _LETTER, _TITLE = 26, 44, 18, 14, 7.2, 22
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1b1f24;text-anchor:middle;dominant-baseline:central}"
    ".t{text-anchor:start;font-weight:600}.p{fill:#fff}.layer{fill:#eef3fb;stroke:#4a6fa5}"
    ".sum{fill:#fff;stroke:#4a5568}.attention{fill:#fdf1dc;stroke:#b7791f;stroke-width:2}"
    ".l{fill:none;stroke:#4a5568;stroke-width:1.3}.h{fill:#4a5568}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.p{fill:#0d1117}"
    ".layer{fill:#1c2a40;stroke:#7aa2e3}.sum{fill:#0d1117;stroke:#9198a1}"
    ".attention{fill:#4a3410;stroke:#e0a458}.l{stroke:#9198a1}.h{fill:#9198a1}}"
)


def picture(graphs: Sequence[BlockGraph]) -> str:
    """One SVG with the graphs below each other, each under its title."""
    parts: list[str] = []
    top, width = float(_MARGIN), 0.0
    for graph in graphs:
        drawn, right, height = _drawn(graph, top)
        parts += drawn
        top, width = top + height + _MARGIN, max(width, right)
    size = f"{width + _MARGIN:.0f}", f"{top:.0f}"
    marker = '<marker id="a" markerWidth="7" markerHeight="7" refX="6" refY="3" orient="auto">'
    titles = "; ".join(graph.title for graph in graphs)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" '
        f'role="img" aria-label="{html_text(titles)}"><style>{_STYLE}</style>'
        f'<defs>{marker}<path class="h" d="M0,0 L6,3 L0,6"/></marker></defs>'
        f'<rect class="p" width="{size[0]}" height="{size[1]}"/>{"".join(parts)}</svg>\n'
    )


def _drawn(graph: BlockGraph, top: float) -> tuple[list[str], float, float]:
    """The parts of one graph, its right edge and its height, pixels."""
    main = _main_line(graph)
    lanes = {step.name: 0 if step.name in main else 1 for step in graph.steps}
    jumps = any(_is_jump(source, step.name, main) for step in graph.steps for source in step.inputs)
    has_lane = jumps or any(lanes.values())
    places = _places(graph, lanes)
    y = top + _TITLE + _HEIGHT / 2
    rows = {name: y + lane * _LANE for name, lane in lanes.items()}
    lines, boxes = [], []
    for step in graph.steps:
        left, right = places[step.name]
        for source in step.inputs:
            start = places[source]
            jump = lanes[source] == lanes[step.name] == 0 and _is_jump(source, step.name, main)
            lines.append(
                _line((*start, rows[source]), (left, right, rows[step.name]), y + _LANE if jump else None)
            )
        boxes.append(_box(step, left, right, rows[step.name]))
    title = f'<text class="t" x="{_MARGIN}" y="{top + 8:.0f}">{html_text(graph.title)}</text>'
    right_edge = max(max(right for _, right in places.values()), _MARGIN + _LETTER * len(graph.title))
    return [title, *lines, *boxes], right_edge, _TITLE + _HEIGHT + (_LANE if has_lane else 0)


def _main_line(graph: BlockGraph) -> list[str]:
    """The names on the longest way to the output, from the input on."""
    longest: dict[str, list[str]] = {}
    for step in graph.steps:
        ways = [longest[name] for name in step.inputs]
        longest[step.name] = [*max(ways, key=len, default=[]), step.name]
    return longest[graph.steps[-1].name]


def _is_jump(source: str, target: str, main: list[str]) -> bool:
    return source in main and target in main and main.index(target) - main.index(source) > 1


def _places(graph: BlockGraph, lanes: dict[str, int]) -> dict[str, tuple[float, float]]:
    """(left, right) of each step: behind what it takes, and behind the one before it in its lane."""
    places: dict[str, tuple[float, float]] = {}
    ends = [float(_MARGIN - _GAP), float(_MARGIN - _GAP)]
    for step in graph.steps:
        lane = lanes[step.name]
        left = max([ends[lane], *(places[name][1] for name in step.inputs)]) + _GAP
        width = max(26.0, _LETTER * len(step.label) + 14)
        places[step.name] = left, left + width
        ends[lane] = left + width
    return places


def _line(start: tuple[float, float, float], end: tuple[float, float, float], detour: float | None) -> str:
    """From the middle or edge of one box to that of another; `detour` is the height of a way around."""
    (left, right, y), (into_left, into_right, into_y) = start, end
    middle, into = (left + right) / 2, (into_left + into_right) / 2
    half = _HEIGHT / 2
    if detour is not None:
        way = f"M{middle:.0f},{y + half:.0f} V{detour:.0f} H{into:.0f} V{into_y + half:.0f}"
    elif y == into_y:
        way = f"M{right:.0f},{y:.0f} H{into_left:.0f}"
    elif y < into_y:
        way = f"M{middle:.0f},{y + half:.0f} V{into_y:.0f} H{into_left:.0f}"
    else:
        way = f"M{right:.0f},{y:.0f} H{into:.0f} V{into_y + half:.0f}"
    return f'<path class="l" marker-end="url(#a)" d="{way}"/>'


def _box(step: Step, left: float, right: float, y: float) -> str:
    text = f'<text x="{(left + right) / 2:.0f}" y="{y:.0f}">{html_text(step.label)}</text>'
    if step.kind in ("input", "output"):
        return text
    edges = f'x="{left:.0f}" y="{y - _HEIGHT / 2:.0f}" width="{right - left:.0f}" height="{_HEIGHT}"'
    return f'<rect class="{step.kind}" {edges} rx="5"/>{text}'
