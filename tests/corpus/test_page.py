from __future__ import annotations

from tests.corpus import rows
from tests.corpus.page import page, summary
from tests.corpus.test_verdict import PARTLY, RIGHT

ROWS = [
    {**RIGHT, "library": "b", "version": "2.0", "name": "Net", "classes": {"Block": 2}},
    {
        **RIGHT,
        "library": "a",
        "version": "1.0",
        "name": "zet|1",
        "places": [PARTLY],
        "found": [1],
        "sites": 1,
    },
    {"library": "a", "version": "1.0", "name": "Dead", "step": "build", "killed": "exit code 3"},
]


def test_rows_stand_by_library_and_model():
    lines = [line for line in page(ROWS).splitlines() if line.startswith(("| a |", "| b |"))]
    assert lines == [
        "| a | 1.0 | Dead | - | - | - | crash | build: exit code 3 |",
        "| a | 1.0 | zet\\|1 | 2 | 1 | 4 of 4 | explained | the other has no shortcut |",
        "| b | 2.0 | Net | 2 | 2 Block | 4 of 4 | exact | - |",
    ]


def test_the_head_counts():
    assert "3 models of 2 libraries" in page(ROWS)
    assert summary(ROWS) == "1 exact, 1 explained, 0 wrong, 1 crash"
    assert (
        summary([*ROWS, {**ROWS[2], "not_run": "no"}]) == "1 exact, 1 explained, 0 wrong, 1 crash, 1 not run"
    )


def test_a_later_row_replaces_an_earlier_one_and_half_a_line_is_left_out(tmp_path):
    file = tmp_path / "deeper" / "rows.jsonl"
    rows.append(file, {"library": "a", "name": "x", "sites": 1})
    rows.append(file, {"library": "a", "name": "x", "sites": 2})
    file.write_text(file.read_text() + '{"library": "a", "na')
    assert rows.read(file) == {("a", "x"): {"library": "a", "name": "x", "sites": 2}}
    assert rows.read(tmp_path / "none") == {}
