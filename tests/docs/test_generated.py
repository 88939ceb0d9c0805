"""What the program writes into the manual is what it would write now."""

from __future__ import annotations

import pytest

from tests.docs.figures import FIGURES
from tests.docs.generate import ATTENTION_PAGES, FIGURE_FILES, GUIDE_FIGURES, WRITERS, renewed
from tests.docs.pages import name_of, pages, regions, with_regions
from tests.docs.writers.attention import FILES

GENERATED = [page for page in pages() if regions(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", GENERATED, ids=name_of)
def test_no_page_is_stale(page):
    text = page.read_text(encoding="utf-8")
    assert text == renewed(page), "run `python -m tests.docs.generate`"


def test_every_writer_is_asked_for():
    asked = {name for page in GENERATED for name in regions(page.read_text(encoding="utf-8"))}
    assert asked == set(WRITERS)


def test_a_region_is_written_between_its_marks():
    page = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n"
    assert regions(page) == ["x"]
    written = with_regions(page, {"x": "new"})
    assert written == "a\n<!-- generated: x -->\n\nnew\n\n<!-- end -->\nb\n"
    assert with_regions(written, {"x": "new"}) == written


@pytest.mark.parametrize("file", FIGURE_FILES, ids=lambda file: file.stem)
def test_no_figure_is_stale(file):
    assert file.read_text(encoding="utf-8") == FIGURE_FILES[file](), "run `python -m tests.docs.generate`"


@pytest.mark.parametrize("file", FIGURE_FILES, ids=lambda file: file.stem)
def test_a_figure_is_small_and_names_every_colour_twice(file):
    """Those of the placements are legible on light and on dark paper."""
    text = file.read_text(encoding="utf-8")
    assert len(text) < 15_000
    if file.parent == GUIDE_FIGURES:
        light, dark = text.partition("</style>")[0].split("@media(prefers-color-scheme:dark)")
        for part in ("text", ".p", ".layer", ".sum", ".attention", ".l", ".h"):
            assert f"{part}{{" in light
            assert f"{part}{{" in dark


def test_every_attention_module_has_a_page_and_a_figure():
    assert set(FIGURES) == set(FILES) == {page.stem for page in ATTENTION_PAGES.glob("*.md")}
    for figure in FIGURES.values():
        assert figure.boxes[0].startswith("x")
        assert figure.boxes[-1] == "y"
        assert all(start < end < len(figure.boxes) for start, _, end in figure.lanes)
