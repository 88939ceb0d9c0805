"""Plots of cost tables as files: matplotlib draws .svg and .png, plotly .html."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from attn_inject.cost.figures import Stats
from attn_inject.display import plot_file, plot_page
from attn_inject.display.picture import panels
from attn_inject.errors import MissingExtraError, NoSiteError, UsageError

_LIBRARIES = {".svg": "matplotlib", ".png": "matplotlib", ".html": "plotly"}


def check_plot(path: Path) -> None:
    """Find out before long work whether a plot can be drawn.

    Raises:
        UsageError: The suffix names no image format.
        MissingExtraError: The library that draws it is not installed.
    """
    if path.suffix not in _LIBRARIES:
        raise UsageError(
            f"{path.name} has no suffix of an image format.",
            hint=f"Use one of {', '.join(_LIBRARIES)}.",
        )
    library = _LIBRARIES[path.suffix]
    if importlib.util.find_spec(library) is None:
        raise MissingExtraError(
            f"{library} draws {path.suffix} files, and is not installed.",
            hint="Install it: pip install 'attn-inject[plot]'",
        )


def draw(stats: Stats, suffix: str, *, per_site: bool = False) -> bytes:
    """The plot of a table.

    Args:
        stats: The table.
        suffix: `.svg`, `.png` or `.html`.
        per_site: Whether to draw what each inserted module costs, as bars, instead of one bubble per module.

    Raises:
        NoSiteError: No module fits, so there is nothing to draw.
    """
    rows = [row for row in stats.rows if row.attention is not None and row.reason is None]
    if not rows:
        raise NoSiteError(
            "There is nothing to draw: no attention module fits.", hint="See the reasons above."
        )
    if suffix == ".html":
        return (plot_page.bars_page(rows) if per_site else plot_page.bubbles_page(panels(stats))).encode()
    return plot_file.bars_file(rows, suffix) if per_site else plot_file.bubbles_file(panels(stats), suffix)
