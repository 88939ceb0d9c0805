"""Cost tables: for people scaled and grouped by model; for programs every figure in full."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from itertools import groupby

from attn_inject.outcome import Stats, StatsRow
from attn_inject.report.documents import json_text
from attn_inject.report.grid import Grid
from attn_inject.report.injection import uncounted_line
from attn_inject.report.numbers import change, scaled, share
from attn_inject.report.page import Part, for_pipe

FORMATS = {
    "table": "columns for people, scaled",
    "json": "one document, every figure in full",
    "csv": "one line a row, every figure in full",
    "markdown": "a pipe table, scaled",
}
SUFFIXES = {".txt": "table", ".json": "json", ".csv": "csv", ".md": "markdown"}
_COSTS = "placement|>sites|>params|>delta|>flops|>delta|>activations|>delta"
_RAW = (
    "model|source|attention|placement|>sites|>params|>flops|>activations"
    "|>delta_params|>delta_flops|>delta_activations|reason"
)


def stats_page(stats: Stats) -> list[Part]:
    """One table a model; below it the attention modules that do not fit, with the reason."""
    page: list[Part] = []
    for (model, source), rows in groupby(stats.rows, key=lambda row: (row.model, row.source)):
        page += _model_parts(f"{model} ({source})", list(rows))
    footnote = uncounted_line(stats.uncounted)
    return [*page, footnote] if footnote else page


def _model_parts(title: str, rows: list[StatsRow]) -> list[Part]:
    counted = [row for row in rows if row.reason is None]
    failed = [(_attention(row), row.reason) for row in rows if row.reason is not None]
    placements = {row.placement for row in counted if row.placement}
    parts: list[Part] = [f"{title}, placement {placements.pop()}" if len(placements) == 1 else title]
    if counted:
        grid = Grid.of(f"attention|{_COSTS}", [(_attention(row), *_costs(row)) for row in counted])
        parts.append(grid.without("placement") if not placements else grid)
    if failed:
        parts.append(Grid.of("no figures for|because", failed))
    return parts


def _attention(row: StatsRow) -> str:
    return row.attention or "base"


def _costs(row: StatsRow) -> tuple[str, ...]:
    """The cells under `_COSTS`."""
    pairs = (
        (row.params, row.delta_params),
        (row.flops, row.delta_flops),
        (row.activations, row.delta_activations),
    )
    is_base = row.attention is None
    cells = [cell for total, delta in pairs for cell in _cost_cells(total, None if is_base else delta)]
    return (row.placement or "", "" if is_base else str(row.sites), *cells)


def _cost_cells(total: int | None, delta: int | None) -> tuple[str, str]:
    total_cell = "" if total is None else scaled(total)
    if total is None or delta is None:
        return total_cell, ""
    return total_cell, f"{change(delta)} {share(delta, total - delta)}" if delta else "0"


def stats_text(stats: Stats, form: str) -> str:
    """The table as text in one of `FORMATS`, ended by a newline."""
    if form == "json":
        return json_text(stats.to_json())
    if form == "csv":
        return Grid.of(_RAW, map(_raw_cells, stats.rows)).to_csv()
    if form == "markdown":
        return _markdown(stats.rows)
    return for_pipe(stats_page(stats))


def _raw_cells(row: StatsRow) -> tuple[str, ...]:
    return tuple("" if value is None else str(value) for value in dataclasses.astuple(row))


def _markdown(rows: Iterable[StatsRow]) -> str:
    cells = [(row.model, _attention(row), *_costs(row), row.reason or "") for row in rows]
    titles = (
        "model|attention|placement|>sites|>params|>+params|>flops|>+flops|>activations|>+activations|reason"
    )
    return Grid.of(titles, cells).without_empty_columns().to_markdown() + "\n"
