"""Labels of plots: none covers another."""

from __future__ import annotations

import itertools
import random

import pytest

from attn_inject.display.labels import Box, Bubble, place
from attn_inject.display.picture import on_scale, panels
from tests.display.samples import resnet_stats

FRAME = Box(0, 0, 960, 600)


def overlapping(boxes):
    return [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]


@pytest.mark.parametrize("seed", range(5))
def test_labels_of_a_crowd_stay_apart(seed):
    generator = random.Random(seed)
    bubbles = [
        Bubble(
            x=generator.gauss(480, 90),
            y=generator.gauss(300, 60),
            radius=generator.uniform(3, 12),
            label="x" * generator.randrange(2, 14),
        )
        for _ in range(30)
    ]
    places = place(bubbles, FRAME)
    assert all(box is not None and FRAME.contains(box) for box in places)
    assert overlapping(places) == []
    assert not any(
        box.overlaps(other.box)
        for box, own in zip(places, bubbles, strict=True)
        for other in bubbles
        if other is not own and other.radius <= 8
    )


def test_bubbles_on_one_spot_are_all_labelled():
    places = place([Bubble(480, 300, 4, f"module-{index}") for index in range(12)], FRAME)
    assert overlapping(places) == []
    assert None not in places


def test_a_label_without_room_is_left_out():
    assert place([Bubble(10, 10, 3, "much too long for this")], Box(0, 0, 60, 20)) == [None]


def test_touching_is_no_overlap():
    assert not Box(0, 0, 1, 1).overlaps(Box(1, 0, 2, 1))
    assert Box(0, 0, 1, 1).overlaps(Box(0.9, 0.9, 2, 2))


def test_an_axis_is_logarithmic_away_from_zero_and_has_a_zero():
    assert on_scale(0) == 0
    assert on_scale(-1) == -on_scale(1)
    assert on_scale(100) - on_scale(10) == pytest.approx(1, abs=1e-3)


def test_a_panel_holds_every_module_that_fits():
    [panel] = panels(resnet_stats())
    assert [dot.bubble.label for dot in panel.dots] == ["se", "eca", "sa:groups=32"]
    assert "+2,530,992 params (+9.9%)" in panel.dots[0].note
    assert all(FRAME.contains(dot.bubble.box) for dot in panel.dots)
