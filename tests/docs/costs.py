"""`python -m tests.docs.costs` draws the plot of the guide on costs again."""

from __future__ import annotations

from pathlib import Path

import attn_inject
from attn_inject.display.plot import draw
from tests.docs.pages import MANUAL

PICTURE = MANUAL / "guides" / "figures" / "costs.svg"


def main() -> None:
    """Write the default table's plot."""
    write(PICTURE)
    print(f"drew {PICTURE.name}")


def write(path: Path) -> None:
    """Draw every module on a ResNet-50, without blanks at the ends of lines."""
    text = draw(attn_inject.stats(), ".svg").decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line.rstrip()}\n" for line in text.splitlines()), encoding="utf-8")


if __name__ == "__main__":
    main()
