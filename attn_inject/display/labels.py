"""Where the labels of a plot go, so that a label covers no other label and no other bubble.

Everything is in pixels, y upwards. Labels are placed one after the other, those with the most neighbours
first, each at the nearest free place around its bubble.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LETTER, LINE = 6.4, 13.0  # width of a letter and height of a line, pixels, generous for 10 px sans-serif
_ANGLES = (0, 180, 45, 135, 315, 225, 90, 270, 22, 158, 338, 202, 67, 113, 293, 247)
_STEP, _REACH = 5.0, 320.0


@dataclass(frozen=True)
class Box:
    """A rectangle: left, bottom, right, top."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        """Whether two rectangles share more than an edge."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def contains(self, other: Box) -> bool:
        """Whether another rectangle lies inside."""
        return (
            self.left <= other.left
            and self.right >= other.right
            and self.bottom <= other.bottom
            and self.top >= other.top
        )


@dataclass(frozen=True)
class Bubble:
    """A disc with a label, pixels."""

    x: float
    y: float
    radius: float
    label: str

    @property
    def box(self) -> Box:
        """What the disc covers."""
        return Box(self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)


def place(bubbles: Sequence[Bubble], frame: Box) -> list[Box | None]:
    """A place for each label inside `frame`, or None for a label that does not fit.

    Args:
        bubbles: What is labelled.
        frame: The plot's area.
    """
    taken: list[Box] = []
    places: list[Box | None] = [None] * len(bubbles)
    small = sorted(bubble.box.right - bubble.x for bubble in bubbles)
    middling = small[len(small) // 2] if small else 0.0
    for index in sorted(range(len(bubbles)), key=lambda i: -_crowd(bubbles[i], bubbles)):
        bubble = bubbles[index]
        # A label may lie on a large bubble, which leaves it readable, but never on a small one.
        discs = [b.box for b in bubbles if b is not bubble and b.radius <= max(middling, 8.0)]
        for box in _around(bubble):
            if frame.contains(box) and not any(box.overlaps(other) for other in (*taken, *discs)):
                places[index] = box
                taken.append(box)
                break
    return places


def _crowd(bubble: Bubble, bubbles: Sequence[Bubble]) -> float:
    """How near the others are."""
    return sum(1 / (1 + math.hypot(bubble.x - b.x, bubble.y - b.y)) for b in bubbles if b is not bubble)


def _around(bubble: Bubble) -> Iterator[Box]:
    """Places around a bubble, the nearest first."""
    width, height = LETTER * len(bubble.label) + 2, LINE
    distance = bubble.radius + 3
    while distance < _REACH:
        for angle in _ANGLES:
            along, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            # The label's near edge, not its middle, is at this distance.
            x = bubble.x + along * (distance + width / 2)
            y = bubble.y + up * (distance + height / 2)
            yield Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        distance += _STEP
