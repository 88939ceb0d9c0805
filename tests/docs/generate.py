"""`python -m tests.docs.generate` writes the regions of the manual that the program knows better."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.docs.pages import name_of, pages, regions, with_regions
from tests.docs.writers import api, attention, cli, words

WRITERS: dict[str, Callable[[], str]] = {
    "attention-overview": attention.overview,
    "attention-modules": attention.modules,
    "placements": words.placements,
    "starts": words.starts,
    "checks": words.checks,
    "formats": words.formats,
    "exit-codes": words.exit_codes,
    "commands": cli.reference,
    "functions": api.functions,
    "classes": api.classes,
    "values": api.values,
}


def renewed(page: Path) -> str:
    """The page as it should be."""
    text = page.read_text(encoding="utf-8")
    return with_regions(text, {name: WRITERS[name]() for name in regions(text)})


def main() -> None:
    """Write every page that is stale, and say which."""
    for page in pages():
        text = renewed(page)
        if text != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            print(f"wrote {name_of(page)}")


if __name__ == "__main__":
    main()
