"""Tables, and docstrings in Google's style, as markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

_SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Shape", "Raises")
_ENTRY = re.compile(r"(?P<name>[\w*]+): (?P<text>.*)")


def table(titles: str, rows: Iterable[Sequence[str]]) -> str:
    """A pipe table; `titles` are joined by `|`."""
    headings = titles.split("|")
    lines = [headings, ["---"] * len(headings), *([cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def code(text: str) -> str:
    if (
        "|" in text
    ):  # which ends a table's cell in one dialect of markdown or the other, however it is escaped
        return f"<code>{text.replace('|', '&#124;')}</code>"
    return f"`{text}`" if text else ""


def docstring(documented: object) -> str:
    """Prose, then one list for each section: `Args:`, `Returns:`, `Raises:` and the like."""
    text = inspect.getdoc(documented) or ""
    parts = re.split(rf"^({'|'.join(_SECTIONS)}):$", text, flags=re.MULTILINE)
    written = [parts[0].strip()]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        written.append(f"**{title}**\n\n{_entries(body)}")
    return "\n\n".join(part for part in written if part)


def sections(documented: object) -> dict[str, dict[str, str]]:
    """The named entries of each section: `{"Args": {"channels": "C of the map."}}`."""
    text = inspect.getdoc(documented) or ""
    parts = re.split(rf"^({'|'.join(_SECTIONS)}):$", text, flags=re.MULTILINE)
    return {title: dict(_named(body)) for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def _named(body: str) -> list[tuple[str, str]]:
    """(name, text) of each entry; the name is "" where an entry has none."""
    entries: list[tuple[str, str]] = []
    for line in inspect.cleandoc(body).splitlines():
        if line.startswith(" ") and entries:
            name, text = entries[-1]
            entries[-1] = (name, f"{text} {line.strip()}")
        elif found := _ENTRY.fullmatch(line):
            entries.append((found["name"], found["text"]))
        elif line:
            entries.append(("", line))
    return entries


def _entries(body: str) -> str:
    named = _named(body)
    if all(not name for name, _ in named):
        return " ".join(text for _, text in named)
    return "\n".join(f"- `{name}`: {text}" if name else f"- {text}" for name, text in named)
