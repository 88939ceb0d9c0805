"""Figures of the attention modules' data flow, drawn from a few words each, as SVG.

A figure is a main line from x to y, and lanes below it: a lane starts at a box of the main line, runs through
its own boxes and ends at another box of the main line. Two lanes that end at one box meet there.
"""

# ruff: noqa: RUF001 - the signs of formulas are meant

from __future__ import annotations

import itertools
from dataclasses import dataclass
from html import escape

BOX_HEIGHT, LANE_HEIGHT, GAP, MARGIN, LETTER = 28, 52, 26, 16, 7.0
STYLE = (
    "text{font:13px sans-serif;fill:#1b1f24;text-anchor:middle;dominant-baseline:central}"
    "rect{fill:#eef3fb;stroke:#4a6fa5;rx:5}.end{fill:#fff;stroke:none}.join{fill:#fdf1dc;stroke:#b7791f}"
    "path{fill:none;stroke:#4a5568;stroke-width:1.3}"
)


@dataclass(frozen=True)
class Figure:
    """The main line's boxes and the lanes: (from which of them, the lane's boxes, to which of them)."""

    main: str
    lanes: tuple[tuple[int, str, int], ...]

    @property
    def boxes(self) -> list[str]:
        return _boxes(self.main)


FIGURES: dict[str, Figure] = {
    "se": Figure("x | × | y", ((0, "mean over H, W | W₁: C → C/r | ReLU | W₂: C/r → C | σ", 1),)),
    "eca": Figure("x | × | y", ((0, "mean over H, W | convolution along C, k | σ", 1),)),
    "ela": Figure(
        "x | × | y",
        (
            (0, "mean over each row | convolution along H, k | group norm | σ", 1),
            (0, "mean over each column | convolution along W, k | group norm | σ", 1),
        ),
    ),
    "ca": Figure(
        "x | × | y",
        (
            (0, "means of rows and columns | 1×1: C → m | norm, h-swish | rows: m → C | σ", 1),
            (0, "the same | the same | the same | columns: m → C | σ", 1),
        ),
    ),
    "sa": Figure(
        "x in G groups | halves | [ , ] | shuffle | y",
        (
            (1, "x₀ | × σ(w · mean over H, W + b)", 2),
            (1, "x₁ | × σ(w · GN(x₁) + b)", 2),
        ),
    ),
    "nam": Figure(
        "x | × | × | y",
        (
            (0, "BN over channels | × |γ| / Σ|γ| | σ", 1),
            (1, "BN over positions | × |λ| / Σ|λ| | σ", 2),
        ),
    ),
    "cbam": Figure(
        "x | × | × | y",
        (
            (0, "mean and max over H, W | W₁, ReLU, W₂ of each | + | σ", 1),
            (1, "max and mean over C | convolution k×k, 2 → 1 | BN | σ", 2),
        ),
    ),
    "bam": Figure(
        "x | σ, + 1 | × | y",
        (
            (0, "mean over H, W | C → C/r | BN, ReLU | C/r → C", 1),
            (0, "1×1: C → C/r | two 3×3, dilation 4 | BN, ReLU each | 1×1: C/r → 1", 1),
            (0, "x", 2),
        ),
    ),
    "sge": Figure(
        "x in G groups | × | y",
        ((0, "mean over H, W | · x at each position | standardise over H, W | w · + b | σ", 1),),
    ),
    "tam": Figure(
        "x | mean of three | y",
        (
            (0, "max, mean over C | k×k on (H, W), BN | σ | × x", 1),
            (0, "max, mean over H | k×k on (C, W), BN | σ | × x", 1),
            (0, "max, mean over W | k×k on (C, H), BN | σ | × x", 1),
        ),
    ),
    "non_local": Figure(
        "x | Σ over j | W_z: m → C | BN | + | y",
        (
            (0, "θ = W_t x, φ = pool(W_p x) | θᵢ · φⱼ / √m | softmax over j", 1),
            (0, "g = pool(W_g x)", 1),
            (0, "x", 4),
        ),
    ),
    "ge": Figure(
        "x | × | y",
        ((0, "gather: mean or depthwise | excite: none or C → C/r → C | nearest to H × W | σ", 1),),
    ),
    "gc": Figure(
        "x | × | Σ over H, W | W₁: C → C/r | LN, ReLU | W₂: C/r → C | + | y",
        ((0, "w · x + b | softmax over H, W", 1), (0, "x", 6)),
    ),
    "scse": Figure(
        "x | + | × | y",
        (
            (0, "mean over H, W | W₁, ReLU, W₂ | σ", 1),
            (0, "1×1: C → 1 | σ", 1),
            (0, "x", 2),
        ),
    ),
    "ema": Figure(
        "x in G groups | + | σ | × | y",
        (
            (0, "strips, 1×1, σ, × x | group norm: p | softmax(mean p) · q", 1),
            (0, "3×3: q | softmax(mean q) · p", 1),
            (0, "x", 3),
        ),
    ),
    "simam": Figure("x | × | y", ((0, "d = (x − mean)² | d / 4(v + λ) + 1/2 | σ", 1),)),
    "srm": Figure("x | × | y", ((0, "mean, std over H, W | u · [mean, std] per channel | BN | σ", 1),)),
    "a2": Figure(
        "x | G V | W_z: m → C | + | y",
        (
            (0, "A = W_a x, B = softmax over positions | G = A Bᵀ, m×m", 1),
            (0, "V = softmax over channels of W_v x", 1),
            (0, "x", 3),
        ),
    ),
    "spm": Figure(
        "x | + | ReLU | 1×1: C → C | σ | × | y",
        (
            (0, "mean over each row | convolution along H | BN", 1),
            (0, "mean over each column | convolution along W | BN", 1),
            (0, "x", 5),
        ),
    ),
    "gam": Figure(
        "x | × | × | y",
        (
            (0, "1×1: C → C/r | ReLU | 1×1: C/r → C | σ", 1),
            (1, "k×k: C → C/r | BN, ReLU | k×k: C/r → C | BN, σ", 2),
        ),
    ),
    "sk": Figure(
        "x | a u₁ + b u₂ | y",
        (
            (0, "3×3 in G groups | BN, ReLU: u₁", 1),
            (0, "3×3, dilation 2, in G groups | BN, ReLU: u₂", 1),
            (0, "mean of u₁ + u₂ | C → d, BN, ReLU | d → 2 C | softmax: a, b", 1),
        ),
    ),
    "ese": Figure("x | × | y", ((0, "mean over H, W | W: C → C | hard sigmoid", 1),)),
    "lka": Figure("x | × | y", ((0, "5×5 depthwise | 7×7 depthwise, dilation 3 | 1×1: C → C", 1),)),
    "fca": Figure(
        "x in F parts | × | y",
        (
            (
                0,
                "Σ of x · cosines, a frequency per part | W₁: C → C/r | ReLU | W₂: C/r → C | σ",
                1,
            ),
        ),
    ),
    "danet": Figure(
        "x | v × softmax | γ | + | y",
        (
            (0, "positions: q · k of W_q x, W_k x; channels: − x · x", 1),
            (0, "v: W_v x; or x", 1),
            (0, "x", 3),
        ),
    ),
    "criss_cross": Figure(
        "x, R times | Σ over the cross | γ | + | y",
        (
            (0, "q · k along row and column | softmax over both", 1),
            (0, "v = W_v x", 1),
            (0, "x", 3),
        ),
    ),
    "involution": Figure(
        "x | Σ over the k×k window | y",
        ((0, "1×1: C → C/r | BN, ReLU | 1×1: C/r → k k G, a kernel per position", 1), (0, "x", 1)),
    ),
    "cot": Figure(
        "x | a k₂ + b k₁ | y",
        (
            (0, "3×3 in 4 groups | BN, ReLU: k₁", 1),
            (0, "[x, k₁] | 1×1, BN, ReLU, 1×1, GN: w | Σ over 3×3 of w · BN(W_v x) | BN, SiLU: k₂", 1),
            (0, "mean of k₁ + k₂ | perceptron | softmax: a, b", 1),
        ),
    ),
    "epsa": Figure(
        "x | four convolutions u | × | concatenated | y",
        ((1, "mean over H, W | W₁: C/4 → h, ReLU | W₂: h → C/4, σ | softmax over the four", 2),),
    ),
    "splat": Figure(
        "x | 3×3 in R groups: C → R C | BN, ReLU: u | Σ of a u | y",
        ((2, "mean of the sum | C → d, BN, ReLU | d → R C | softmax over R: a", 3),),
    ),
    "sasa": Figure(
        "x | Σ over the window | y",
        (
            (0, "q = W_q x, k = W_k x | q · k + q · r in a k×k window | softmax over the window", 1),
            (0, "v = W_v x", 1),
        ),
    ),
}


def draw(figure: Figure) -> str:
    """The figure as an SVG document."""
    lanes = [_boxes(boxes) for _, boxes, _ in figure.lanes]
    places = _main_places(figure, lanes)
    parts: list[str] = []
    for at, (left, right) in enumerate(itertools.pairwise(places)):
        if not _is_bypassed(figure, at):
            parts.append(_arrow(left[1], _row(0), right[0], _row(0)))
    for at, ((start, _, end), boxes) in enumerate(zip(figure.lanes, lanes, strict=True), start=1):
        parts.extend(_lane(boxes, at, places[start], places[end]))
    parts.extend(_box(text, place, 0) for text, place in zip(figure.boxes, places, strict=True))
    width, height = places[-1][1] + MARGIN, _row(len(lanes)) + BOX_HEIGHT
    head = '<marker id="a" markerWidth="7" markerHeight="7" refX="6" refY="3" orient="auto">'
    head += '<path d="M0,0 L6,3 L0,6" style="fill:#4a5568"/></marker>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">'
        f'<style>{STYLE}</style><defs>{head}</defs><rect class="end" width="{width:.0f}" '
        f'height="{height:.0f}"/>{"".join(parts)}</svg>\n'
    )


def _boxes(text: str) -> list[str]:
    return [part.strip() for part in text.split(" | ")]


def _width(text: str) -> float:
    return max(34.0, LETTER * len(text) + 18)


def _lane_width(boxes: list[str]) -> float:
    return sum(map(_width, boxes)) + GAP * (len(boxes) + 1)


def _main_places(figure: Figure, lanes: list[list[str]]) -> list[tuple[float, float]]:
    """(left, right) of the main line's boxes: as far apart as the lanes between them are long."""
    places: list[tuple[float, float]] = []
    left = float(MARGIN)
    for at, text in enumerate(figure.boxes):
        for (start, _, end), boxes in zip(figure.lanes, lanes, strict=True):
            if end == at:
                left = max(left, places[start][1] + _lane_width(boxes))
        places.append((left, left + _width(text)))
        left = places[-1][1] + GAP
    return places


def _is_bypassed(figure: Figure, at: int) -> bool:
    """Whether only lanes run from a box of the main line to the next, and not the main line itself."""
    has_lane = any((start, end) == (at, at + 1) for start, _, end in figure.lanes)
    return has_lane and figure.boxes[at + 1] != "×"


def _lane(boxes: list[str], at: int, start: tuple[float, float], end: tuple[float, float]) -> list[str]:
    y, out, into = _row(at), (start[0] + start[1]) / 2, (end[0] + end[1]) / 2
    parts, left = [], start[1] + GAP
    previous = f"M{out:.1f},{_row(0) + BOX_HEIGHT / 2:.1f} V{y:.1f}"
    for text in boxes if boxes != ["x"] else []:
        parts.append(f'<path marker-end="url(#a)" d="{previous} H{left:.1f}"/>')
        parts.append(_box(text, (left, left + _width(text)), at))
        left += _width(text)
        previous = f"M{left:.1f},{y:.1f}"
        left += GAP
    last = _row(0) + BOX_HEIGHT / 2
    return [*parts, f'<path marker-end="url(#a)" d="{previous} H{into:.1f} V{last:.1f}"/>']


def _row(at: int) -> float:
    return MARGIN + BOX_HEIGHT / 2 + LANE_HEIGHT * at


def _arrow(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path marker-end="url(#a)" d="M{x0:.1f},{y0:.1f} L{x1:.1f},{y1:.1f}"/>'


def _box(text: str, place: tuple[float, float], at: int) -> str:
    left, right = place
    kind = ' class="join"' if text in ("×", "+", "[ , ]") else ' class="end"' if text in ("x", "y") else ""
    y = _row(at)
    return (
        f'<rect{kind} x="{left:.1f}" y="{y - BOX_HEIGHT / 2:.1f}" width="{right - left:.1f}" '
        f'height="{BOX_HEIGHT}"/><text x="{(left + right) / 2:.1f}" y="{y:.1f}">{escape(text)}</text>'
    )
