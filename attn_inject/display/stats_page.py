"""Cost tables: for people, scaled and grouped by model; for programs, every figure in full."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from attn_inject.cost.figures import SiteCost, Stats, StatsRow
from attn_inject.display.columns import ColumnLayout, cell, is_numeric, raw, sort_rows, title
from attn_inject.display.documents import json_text
from attn_inject.display.grid import Table
from attn_inject.display.injection_page import uncounted_line
from attn_inject.display.numbers import scaled, storage
from attn_inject.display.page import Part, for_pipe

FORMATS = {
    "table": "columns for people, scaled",
    "json": "one document, every figure in full",
    "csv": "one line per row, every figure in full",
    "markdown": "a pipe table, scaled",
}
SUFFIXES = {".txt": "table", ".json": "json", ".csv": "csv", ".md": "markdown"}
_SITE_TITLES = "sites|>count|attention|map (CxHxW)|>params each|>flops each|>gate ops each|>gate bytes each"
_SITE_KEYS = (
    "name", "attention", "layout", "channels", "height", "width", "stage", "calls", "params", "flops",
    "activations", "gate_operations", "gate_bytes",
)  # fmt: skip
USUAL = ColumnLayout()


def arranged(stats: Stats, *, sort: str = "", top: int | None = None) -> Stats:
    """The same table with the rows of each model sorted, and only its base and the first `top` kept.

    Args:
        stats: The table.
        sort: A column, smallest first; `-column` for the largest first; "" keeps the order.
        top: How many attention modules each model keeps; None keeps all.

    Raises:
        UnknownNameError: There is no such column.
        UsageError: The column was not measured.
    """
    rows: list[StatsRow] = []
    for _, same in _by_model(stats.rows):
        ordered = sort_rows(same, sort) if sort else same
        bases = sum(row.attention is None for row in ordered)
        rows += ordered if top is None else ordered[: bases + top]
    return dataclasses.replace(stats, rows=tuple(rows))


def stats_page(stats: Stats, layout: ColumnLayout = USUAL, *, per_site: bool = False) -> list[Part]:
    """One table per model; below it the attention modules that do not fit, with the reason."""
    page: list[Part] = []
    for (model, source), rows in _by_model(stats.rows):
        page += _model_parts(f"{model} ({source})" if source else model, rows, layout)
        if per_site:
            page += [part for row in rows if row.per_site for part in (_heading(row), _site_grid(row))]
    footnote = uncounted_line(stats.uncounted)
    return [*page, footnote] if footnote else page


def _by_model(rows: Iterable[StatsRow]) -> Iterator[tuple[tuple[str, str], list[StatsRow]]]:
    for key, same in groupby(rows, key=lambda row: (row.model, row.source)):
        yield key, list(same)


def _model_parts(heading: str, rows: Sequence[StatsRow], layout: ColumnLayout) -> list[Part]:
    counted = [row for row in rows if row.reason is None]
    failed = [(row.attention or "this model", row.reason or "") for row in rows if row.reason is not None]
    placements = {row.placement for row in counted if row.placement}
    parts: list[Part] = [f"{heading}, placement {placements.pop()}" if len(placements) == 1 else heading]
    if counted:
        columns = [name for name in layout.for_people if name != "placement" or layout.names or placements]
        parts.append(_grid(counted, columns, layout, whose=bool(layout.names)))
    if failed:
        parts.append(Table.of("no figures for|because", failed))
    return parts


def _grid(rows: Iterable[StatsRow], columns: Sequence[str], layout: ColumnLayout, *, whose: bool) -> Table:
    titles = "|".join(">" * is_numeric(name) + title(name, whose=whose) for name in columns)
    cells = [tuple(cell(row, name, relative=layout.relative) for name in columns) for row in rows]
    grid = Table.of(titles, cells)
    return grid if layout.names else grid.without_empty_columns()


def _heading(row: StatsRow) -> str:
    return f"{row.attention} on {row.model}, site by site"


def _site_grid(row: StatsRow) -> Table:
    """One line for each run of neighbouring sites that cost the same."""
    rows = []
    for _, run in groupby(row.per_site, key=_kind):
        alike = list(run)
        first, last = alike[0], alike[-1]
        names = first.site.name if len(alike) == 1 else f"{first.site.name} .. {last.site.name}"
        costs = (scaled(first.params), scaled(first.flops), scaled(first.gate_operations))
        rows.append((names, str(len(alike)), first.attention, _map(first), *costs, storage(first.gate_bytes)))
    return Table.of(_SITE_TITLES, rows)


def _kind(cost: SiteCost) -> tuple[object, ...]:
    return tuple(value for key, value in cost.to_json().items() if key not in ("name", "stage"))


def _map(cost: SiteCost) -> str:
    site = cost.site
    size = "" if site.height is None else f"x{site.height}x{site.width}"
    return f"{site.channels}{size} {site.layout}"


def stats_text(stats: Stats, form: str, layout: ColumnLayout = USUAL, *, per_site: bool = False) -> str:
    """The table as text in one of `FORMATS`, ended by a newline."""
    if form == "json":
        return json_text(stats.to_json(layout.more, per_site=per_site))
    if form == "csv":
        return (_sites_csv(stats.rows) if per_site else _csv(stats.rows, layout)).to_csv()
    if form == "markdown":
        return _markdown(stats.rows, layout)
    return for_pipe(stats_page(stats, layout, per_site=per_site))


def _csv(rows: Iterable[StatsRow], layout: ColumnLayout) -> Table:
    columns = layout.for_programs
    return Table.of("|".join(columns), [tuple(raw(row, name) for name in columns) for row in rows])


def _sites_csv(rows: Iterable[StatsRow]) -> Table:
    """One line per site."""
    titles = ("model", "source", "attention", "placement", "site", *_SITE_KEYS[2:])
    cells = []
    for row in rows:
        for site in row.per_site:
            document = site.to_json()
            figures = ("" if document[key] is None else str(document[key]) for key in _SITE_KEYS[2:])
            cells.append(
                (row.model, row.source, site.attention, row.placement or "", site.site.name, *figures)
            )
    return Table.of("|".join(titles), cells)


def _markdown(rows: Sequence[StatsRow], layout: ColumnLayout) -> str:
    names = layout.names or ("model", *layout.for_people, "reason")
    return _grid(rows, names, layout, whose=True).without_empty_columns().to_markdown() + "\n"
