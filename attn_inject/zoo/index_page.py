"""`index.html`: one self-contained page; a table to sort and filter, a plot of costs, reasons for failures.

A small script in the page draws it, since plotly's would add four megabytes to each page.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from attn_inject.display.escaping import html_json


def page_text(document: Mapping[str, Any]) -> str:
    """The page for the document of `index.json`."""
    text = _part("page.html")
    text = text.replace("/*STYLE*/", _part("page.css")).replace("/*SCRIPT*/", _part("page.js"))
    return text.replace("/*DATA*/", html_json(document))


def _part(name: str) -> str:
    return resources.files("attn_inject.zoo").joinpath("page_parts", name).read_text(encoding="utf-8")
