"""The pages of the manual, the README first, and the fenced blocks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
MANUAL = ROOT / "docs" / "pages"
REFERENCE = MANUAL / "reference"

_OPENING = re.compile(r"(?P<indent>\s*)```(?P<language>[\w-]*)(?: title=\"(?P<title>[^\"]+)\")?\s*")
_REGION = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: The file.
        line: Number of its first line of text, from 1.
        language: The word behind the opening fence.
        title: What stands in `title="..."`, or "".
        text: Its lines, without the fences.
    """

    page: Path
    line: int
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    return [README, *sorted(MANUAL.rglob("*.md"))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        if not line.lstrip().startswith("```"):
            continue
        opening = _OPENING.fullmatch(line)
        if opening is None or opening["indent"]:
            raise ValueError(
                f"{name_of(page)}:{number}: a fence is indented or says more than a language and a title"
            )
        text = []
        for _, inner in lines:
            if inner == "```":
                break
            text.append(f"{inner}\n")
        else:
            raise ValueError(f"{name_of(page)}:{number}: the fence is never closed")
        yield Block(page, number + 1, opening["language"], opening["title"] or "", "".join(text))


def regions(text: str) -> list[str]:
    """The names of the regions that a program writes: `<!-- generated: NAME -->` to `<!-- end -->`."""
    return [found["name"] for found in _REGION.finditer(text)]


def with_regions(text: str, written: dict[str, str]) -> str:
    """`text` with what `written` says between the marks of each region."""
    return _REGION.sub(lambda found: f"{found[1]}\n{written[found['name']].strip()}\n\n", text)


def by_hand(page: Path) -> str:
    """What a person wrote of a page."""
    return _REGION.sub(r"\1", page.read_text(encoding="utf-8"))
