"""Texts from models, files and errors as they are safe to show: one function for each place."""

from __future__ import annotations

import html
import json
import re
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# +12.5%, -3, 1e-4, +1.5 kB: figures, which a spreadsheet may read as such.
_FIGURE = re.compile(r"[+-]?(?:[\d.,]+(?:e[+-]?\d+)?(?:\s?(?:%|[A-Za-z]+))?)?", re.IGNORECASE)
_MARKUP = re.compile(r"[\\`*\[\]<>|&!]")


def printable(text: str) -> str:
    """With control characters spelled out, so that a file's names cannot steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def csv_cell(cell: str) -> str:
    """With a quote before what a spreadsheet would take for a formula; on one line."""
    line = _one_line(cell)
    # Blanks in front do not keep a spreadsheet from it.
    return f"'{line}" if line.lstrip().startswith(_FORMULA) and not _FIGURE.fullmatch(line) else line


def markdown_cell(cell: str) -> str:
    """With a backslash before what would become a link, picture, tag, code or another cell; on one line."""
    return _MARKUP.sub(lambda found: f"\\{found[0]}", _one_line(cell))


def html_text(text: str) -> str:
    """As text of an element or value of an attribute."""
    return html.escape(printable(text), quote=True)


def html_json(document: Any) -> str:
    """JSON for a `script` element, which nothing in it can end; a script has to set it as text."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _one_line(text: str) -> str:
    return " ".join(printable(text).split("\n"))
