"""`python -m tests.docs.refresh [PAGE ...]` runs pages and corrects the output that they show.

An output with `...` in it is only named, since a person has to choose what it leaves out.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.docs.pages import blocks, name_of, pages
from tests.docs.session import Session, Shown


def refresh(page: Path) -> None:
    """Run one page and renew what it shows."""
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder).resolve())
        wrong = [shown for block in blocks(page) for shown in session.follow(block) if not shown.is_true]
        session.close()
    lines = page.read_text(encoding="utf-8").splitlines()
    for shown in reversed(wrong):
        if "..." in shown.expected:
            print(f"{name_of(page)}:{shown.line} needs a hand; it is now\n{shown.printed}")
        else:
            first = shown.line - 1
            lines[first : first + shown.expected.count("\n")] = _tidy(shown)
            print(f"{name_of(page)}:{shown.line} was renewed")
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _tidy(shown: Shown) -> list[str]:
    return [line.rstrip() for line in shown.printed.rstrip().splitlines()]


if __name__ == "__main__":
    for asked in pages():
        if len(sys.argv) == 1 or name_of(asked) in sys.argv[1:]:
            refresh(asked)
