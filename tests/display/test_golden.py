"""What people see, word for word; `RENEW_GOLDEN=1 pytest tests/display` writes the files again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from attn_inject.attention import registry
from attn_inject.display.columns import ColumnLayout
from attn_inject.display.comparison_page import comparison_page
from attn_inject.display.diff_page import diff_page
from attn_inject.display.fit_page import fit_page
from attn_inject.display.injection_page import injection_page
from attn_inject.display.listing import attention_grid, words_grid
from attn_inject.display.look_page import look_page
from attn_inject.display.page import Part, for_pipe, for_terminal
from attn_inject.display.prune_page import prune_page
from attn_inject.display.saved_page import saved_page
from attn_inject.display.sites_page import sites_page
from attn_inject.display.stats_page import stats_page, stats_text
from tests.display import samples
from tests.display.look_sample import looked, pruned

GOLDEN = Path(__file__).parent / "golden"
PAGES: dict[str, Callable[[], list[Part]]] = {
    "injection": lambda: injection_page(samples.resnet_report()),
    "injection-awkward": lambda: injection_page(samples.awkward_report(), dry_run=True),
    "sites": lambda: sites_page("vit[tiny]", samples.vit_sites()),
    "stats": lambda: stats_page(samples.resnet_stats()),
    "stats-measured": lambda: stats_page(samples.measured_stats(), per_site=True),
    "stats-relative": lambda: stats_page(
        samples.measured_stats(),
        ColumnLayout(names=("attention", "delta_params", "relative_latency"), relative=True),
    ),
    "comparison": lambda: comparison_page(samples.two_sides()),
    "diff": lambda: diff_page(samples.differing()),
    "look": lambda: look_page(looked()),
    "prune": lambda: prune_page(pruned()),
    "fit": lambda: fit_page(samples.fitted(), "attn-inject resnet50 --attn se --where '[x]'"),
    "saved": lambda: saved_page(samples.saved_content()),
    "attention": lambda: [attention_grid(samples.ENTRIES)],
    "words": lambda: [
        words_grid("placement", {"after": "the block's output", "[x]": "[red]no markup[/red]"})
    ],
}
LAYOUTS: dict[str, Callable[[list[Part]], str]] = {
    "80": lambda page: for_terminal(page, width=80),
    "120": lambda page: for_terminal(page, width=120),
    "pipe": for_pipe,
}


def check(name: str, text: str) -> None:
    file = GOLDEN / name
    if os.environ.get("RENEW_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("page", PAGES)
def test_page(page, layout):
    check(f"{page}-{layout}.txt", LAYOUTS[layout](PAGES[page]()))


@pytest.mark.parametrize(("form", "suffix"), [("csv", "csv"), ("markdown", "md"), ("json", "json")])
def test_stats_for_programs(form, suffix):
    check(f"stats.{suffix}", stats_text(samples.resnet_stats(), form))


def test_sites_for_programs():
    check("stats-sites.csv", stats_text(samples.measured_stats(), "csv", per_site=True))
    rows = json.loads(
        stats_text(samples.measured_stats(), "json", ColumnLayout(names=("latency",)), per_site=True)
    )["rows"]
    assert rows[1]["per_site"][0]["name"] == "layer1.0"
    assert rows[1]["latency"]["ratio"] == 1.04


def test_no_golden_file_is_left_over():
    expected = {f"{page}-{layout}.txt" for page in PAGES for layout in LAYOUTS}
    assert {file.name for file in GOLDEN.iterdir()} == expected | {
        *("stats.csv", "stats.md", "stats.json", "stats-sites.csv")
    }


def test_registered_modules_have_something_to_show():
    grid = attention_grid(registry.entries().values())
    assert all(name and summary and origin for name, summary, _, origin in grid.rows)
