from __future__ import annotations

import pytest

from attn_inject.display.numbers import change, plural, scaled, share, storage


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (-7, "-7"),
        (999, "999"),
        (1000, "1.000k"),
        (-1000, "-1.000k"),
        (9_999, "9.999k"),
        (99_994, "99.99k"),
        (99_996, "100.0k"),
        (999_949, "999.9k"),
        (999_999, "1.000M"),
        (25_557_032, "25.56M"),
        (4_111_514_624, "4.112G"),
        (10**21, "1000000P"),
    ],
)
def test_scaled(count, text):
    assert scaled(count) == text


@pytest.mark.parametrize(("delta", "text"), [(0, "0"), (48, "+48"), (876_032, "+876.0k"), (-1500, "-1.500k")])
def test_change(delta, text):
    assert change(delta) == text


@pytest.mark.parametrize(
    ("delta", "base", "text"),
    [
        (0, 100, "0%"),
        (5, 0, "-"),
        (876_032, 25_557_032, "+3.43%"),
        (-50, 100, "-50.00%"),
        (200, 100, "+200.00%"),
        (80, 25_557_032, "+0.0003%"),
        (1, 10**10, "+<0.0001%"),
        (-1, 10**10, "-<0.0001%"),
    ],
)
def test_share(delta, base, text):
    assert share(delta, base) == text


@pytest.mark.parametrize(("size", "text"), [(12, "12 B"), (102_540_000, "102.5 MB"), (1024, "1.024 kB")])
def test_storage(size, text):
    assert storage(size) == text


def test_plural():
    assert [plural(count, "site") for count in (0, 1, 2, 1200)] == [
        "0 sites",
        "1 site",
        "2 sites",
        "1,200 sites",
    ]
