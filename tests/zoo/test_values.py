from __future__ import annotations

import pytest

from attn_inject.zoo import values


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (values.text, "a", "a"),
        (values.texts, "a", ("a",)),
        (values.texts, ["a", "b"], ("a", "b")),
        (values.whole, 3, 3),
        (values.wholes, 3, (3,)),
        (values.wholes, [3, 4], (3, 4)),
        (values.size, 224, (3, 224, 224)),
        (values.size, [224, 320], (3, 224, 320)),
        (values.size, [1, 224, 320], (1, 224, 320)),
        (values.arguments, {"drop-path": 0.1}, {"drop_path": 0.1}),
        (values.arguments, ["drop-path=0.1", "a=x"], {"drop_path": 0.1, "a": "x"}),
        (values.seconds, 90, 90),
        (values.seconds, "1.5m", 90),
        (values.seconds, "2h", 7200),
        (values.memory, 10**9, 10**9),
        (values.memory, "8GB", 8 * 10**9),
        (values.memory, "8 GiB", 8 * 2**30),
        (values.memory, "50%", 0.5),
    ],
)
def test_what_is_read(kind, given, value):
    assert kind(given) == value


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (values.text, 3),
        (values.texts, [1]),
        (values.truth, 1),
        (values.truth, "true"),
        (values.whole, True),
        (values.whole, -1),
        (values.whole, "3"),
        (values.wholes, [1, "2"]),
        (values.size, []),
        (values.size, [0, 1]),
        (values.size, [1, 2, 3, 4, 5]),
        (values.arguments, ["no-value"]),
        (values.seconds, 0),
        (values.seconds, "soon"),
        (values.seconds, "3 days"),
        (values.memory, "0GB"),
        (values.memory, 0.5),
        (values.memory, "120%"),
        (values.memory, "much"),
        (values.memory, True),
    ],
)
def test_what_is_refused(kind, given):
    with pytest.raises(ValueError, match="not "):
        kind(given)
