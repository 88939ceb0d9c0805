"""Two models side by side, for people."""

from __future__ import annotations

from itertools import groupby

from attn_inject.cost.comparison import Comparison, Inserted
from attn_inject.cost.cost import QUANTITIES
from attn_inject.display.grid import Table
from attn_inject.display.numbers import change, scaled, share
from attn_inject.display.page import Part

_NAMES = {
    "params": "params",
    "flops": "flops (multiply-adds)",
    "activations": "activations (elements)",
    "gate_operations": "elementwise operations",
    "gate_bytes": "bytes that they move",
}
_Site = tuple[str, Inserted | None, Inserted | None]


def comparison_page(comparison: Comparison) -> list[Part]:
    """The page that `stats --compare` prints: the models row by row, then their modules site by site."""
    a, b = comparison.a, comparison.b
    page: list[Part] = [f"A is {a.model} ({a.source}), B is {b.model} ({b.source})", totals_grid(comparison)]
    sites = comparison.sites()
    return [*page, _sites(sites)] if sites else page


def totals_grid(comparison: Comparison) -> Table:
    """What both models cost and the difference, one row per quantity."""
    rows = []
    for name in QUANTITIES:
        before, after = getattr(comparison.a.figures, name), getattr(comparison.b.figures, name)
        delta = after - before
        rows.append((_NAMES[name], scaled(before), scaled(after), change(delta), share(delta, before)))
    return Table.of("cost|>A|>B|>B - A|>change", rows)


def _sites(sites: list[_Site]) -> Table:
    """One line for each run of neighbouring modules that are the same on both sides."""
    rows = []
    for _, run in groupby(sites, key=_kind):
        alike = list(run)
        first, last = alike[0][0], alike[-1][0]
        names = first if len(alike) == 1 else f"{first} .. {last}"
        rows.append((names, str(len(alike)), *_cells(alike[0][1]), *_cells(alike[0][2])))
    return Table.of("module|>count|A|>params each|>flops each|B|>params each|>flops each", rows)


def _kind(site: _Site) -> tuple[object, ...]:
    return tuple(item and (item.attention, item.placement, item.figures) for item in site[1:])


def _cells(inserted: Inserted | None) -> tuple[str, str, str]:
    if inserted is None:
        return "-", "", ""
    figures = inserted.figures
    return f"{inserted.attention} ({inserted.placement})", scaled(figures.params), scaled(figures.flops)
