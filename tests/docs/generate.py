"""`python -m tests.docs.generate` writes the generated regions of the manual."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from tests.docs.figures import FIGURES, draw
from tests.docs.pages import MANUAL, name_of, pages, regions, with_regions
from tests.docs.placement_figures import FIGURES as PLACEMENT_FIGURES
from tests.docs.placement_figures import placement_figure
from tests.docs.writers import api, attention, cli, words

WRITERS: dict[str, Callable[[], str]] = {
    "attention-overview": attention.overview,
    "attention-modules": attention.modules,
    "placements": words.placements,
    "placement-pictures": words.placement_pictures,
    "starts": words.starts,
    "checks": words.checks,
    "formats": words.formats,
    "checkpoints": words.checkpoints,
    "rejection-codes": words.rejection_codes,
    "exit-codes": words.exit_codes,
    "commands": cli.reference,
    "functions": api.functions,
    "classes": api.classes,
    "values": api.values,
    **{f"attention-{file}": functools.partial(attention.page, file) for file in attention.FILES},
}
ATTENTION_PAGES = MANUAL / "reference" / "attention"
GUIDE_FIGURES = MANUAL / "guides" / "figures"
FIGURE_FILES: dict[Path, Callable[[], str]] = {
    **{
        ATTENTION_PAGES / "figures" / f"{file}.svg": functools.partial(draw, figure)
        for file, figure in FIGURES.items()
    },
    **{
        GUIDE_FIGURES / f"{file}.svg": functools.partial(placement_figure, *placements)
        for file, placements in PLACEMENT_FIGURES.items()
    },
}


def renewed(page: Path) -> str:
    """The page as it should be."""
    text = page.read_text(encoding="utf-8")
    return with_regions(text, {name: WRITERS[name]() for name in regions(text)})


def main() -> None:
    """Write every page and figure that is stale, and say which."""
    for file, drawn in FIGURE_FILES.items():
        if not file.exists() or file.read_text(encoding="utf-8") != drawn():
            file.write_text(drawn(), encoding="utf-8")
            print(f"drew {name_of(file)}")
    for page in pages():
        text = renewed(page)
        if text != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            print(f"wrote {name_of(page)}")


if __name__ == "__main__":
    main()
