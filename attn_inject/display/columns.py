"""The columns of a cost table: their names, and their form for people and for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attn_inject.cost.figures import ALWAYS, MORE, RELATIVE, StatsRow, Timing, value
from attn_inject.display.numbers import duration, scaled, share, storage
from attn_inject.errors import UsageError, unknown_name

COLUMNS = {
    "model": "the model's name",
    "source": "the library, factory or file that it comes from",
    "attention": "the module, or nothing for the untouched base",
    "placement": "where in the block it acts",
    "sites": "how many modules are inserted",
    "params": "parameters of the modified model",
    "delta_params": "what was added",
    "flops": "multiply-adds of one forward of one sample, as fvcore counts",
    "delta_flops": "what was added",
    "activations": "elements of the outputs of convolutions and matrix products",
    "delta_activations": "what was added",
    "gate_operations": "elementwise operations of the inserted modules, which flops do not count",
    "gate_bytes": "bytes that these operations read and write, in float32",
    "latency": "of one forward, median seconds (--latency)",
    "delta_latency": "what was added",
    "memory": "peak of a training step, bytes (--memory)",
    "delta_memory": "what was added",
    **{f"relative_{quantity}": f"change of {quantity} in percent of the base" for quantity in RELATIVE},
    "reason": "why there are no figures",
}
FOR_PEOPLE = (
    "attention", "placement", "sites", "params", "delta_params", "flops", "delta_flops", "activations",
    "delta_activations", "gate_operations", "gate_bytes", "latency", "delta_latency",
    "memory", "delta_memory",
)  # fmt: skip
_TEXT = {"model", "source", "attention", "placement", "reason"}
_TITLES = {"gate_operations": "gate ops", "gate_bytes": "gate bytes"}


@dataclass(frozen=True)
class ColumnLayout:
    """Which columns a table shows.

    Attributes:
        names: Keys of `COLUMNS` that were asked for; empty for the usual ones.
        relative: Whether changes are in percent of the base alone.
        measured: Columns that were measured.
    """

    names: tuple[str, ...] = ()
    relative: bool = False
    measured: tuple[str, ...] = ()

    @property
    def for_people(self) -> tuple[str, ...]:
        """Columns of a table for people."""
        return self.names or FOR_PEOPLE

    @property
    def for_programs(self) -> tuple[str, ...]:
        """Columns of a csv file."""
        return self.names or (*ALWAYS, *self.more)

    @property
    def more(self) -> tuple[str, ...]:
        """Keys of a JSON row beyond the documented ones."""
        percents = tuple(f"relative_{item}" for item in RELATIVE[:3]) if self.relative else ()
        return tuple(name for name in self.names or (*self.measured, *percents) if name in MORE)


def parse_columns(text: str) -> tuple[str, ...]:
    """`params,flops` as ("params", "flops"); a hyphen means an underscore.

    Raises:
        UnknownNameError: There is no such column.
        UsageError: A column is named twice.
    """
    names = tuple(name.strip().replace("-", "_") for name in text.split(",") if name.strip())
    for name in names:
        require_column(name)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"The column {twice} is named twice.", hint="Name each column once.")
    return names


def require_column(name: str) -> str:
    """The column's name, if there is one.

    Raises:
        UnknownNameError: There is no such column.
    """
    if name not in COLUMNS:
        raise unknown_name("column", name, COLUMNS, see="attn-inject list columns")
    return name


def is_numeric(column: str) -> bool:
    """Whether a column holds figures."""
    return column not in _TEXT


def title(column: str, *, whose: bool) -> str:
    """A heading; with `whose`, a change names its quantity, for tables whose columns may be separated."""
    quantity = column.removeprefix("delta_").removeprefix("relative_")
    if column.startswith("delta_"):
        return f"+{quantity}" if whose else "delta"
    return f"+{quantity} %" if column.startswith("relative_") else _TITLES.get(column, column)


def cell(row: StatsRow, column: str, *, relative: bool = False) -> str:
    """One cell for people."""
    held = value(row, column)
    if column == "attention":
        return row.attention or "base"
    if column in _TEXT:
        return held or ""
    if held is None or (row.attention is None and (column == "sites" or column.startswith("delta_"))):
        return ""
    if column.startswith("relative_"):
        return "" if row.attention is None else f"{held:+.2f}%"
    if column.startswith("delta_"):
        return _change(row, column.removeprefix("delta_"), held, relative)
    return "" if row.reason else _WRITERS.get(column, scaled)(held) + _spread(row.latency, column)


def _change(row: StatsRow, quantity: str, delta: float, relative: bool) -> str:
    if quantity == "latency":
        percent = f"{row.relative('latency') or 0.0:+.1f}%"
        sign = "+" if delta > 0 else "-"
        return percent if relative else f"{sign}{duration(abs(delta))} {percent}"
    if not delta:
        return "0"
    percent = share(int(delta), getattr(row, quantity) - delta)
    if relative:
        return percent
    return f"{'+' * (delta > 0)}{_WRITERS.get(quantity, scaled)(int(delta))} {percent}"


def _spread(timing: Timing | None, column: str) -> str:
    """Half the distance between the quartiles, after a latency."""
    if timing is None or column != "latency":
        return ""
    return f" ±{duration((timing.high - timing.low) / 2)}"


_WRITERS: dict[str, Callable[..., str]] = {
    "gate_bytes": storage,
    "memory": storage,
    "latency": duration,
    "sites": str,
}


def raw(row: StatsRow, column: str) -> str:
    """One cell for programs, in full; empty for None."""
    held = value(row, column)
    return "" if held is None else str(held)


def sort_rows(rows: Sequence[StatsRow], by: str) -> list[StatsRow]:
    """Rows of one model, the base first and those without figures last, smallest first; `-flops`: largest.

    Raises:
        UnknownNameError: There is no such column.
        UsageError: The column was not measured.
    """
    column, downwards = require_column(by.removeprefix("-").replace("-", "_")), by.startswith("-")
    if column.endswith(("latency", "memory")) and all(value(row, column) is None for row in rows):
        option = "--latency" if column.endswith("latency") else "--memory"
        raise UsageError(f"{column} was not measured.", hint=f"Add {option}.")
    bases = [row for row in rows if row.attention is None]
    others = [row for row in rows if row.attention is not None]
    counted = [row for row in others if value(row, column) is not None]
    ordered = sorted(counted, key=lambda row: value(row, column), reverse=downwards)
    return bases + ordered + [row for row in others if value(row, column) is None]
