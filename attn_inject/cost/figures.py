"""The content of a cost table: frozen rows of figures, and their documented JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_inject.cost.cost import Cost
from attn_inject.shown import Shown
from attn_inject.sites.site import Site


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one forward takes, in seconds per batch.

    Attributes:
        median: Of all repetitions.
        low: First quartile.
        high: Third quartile.
        repetitions: How many there were.
        ratio: Median of the modified model's time over the base's, pair by pair; 1.0 for the base.
    """

    median: float
    low: float
    high: float
    repetitions: int
    ratio: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SiteCost(Cost):
    """What one inserted module costs over all its calls in one forward.

    Attributes:
        site: The site, with layout, channels and size of the tensor that the module acts on.
        attention: The module with the options that were used, `sa:groups=32`.
    """

    site: Site
    attention: str

    def to_json(self) -> dict[str, Any]:
        """The documented keys of one entry of `per_site`."""
        site = self.site
        return {
            "name": site.name,
            "attention": self.attention,
            "layout": site.layout,
            "channels": site.channels,
            "height": site.height,
            "width": site.width,
            "stage": site.stage,
            "calls": site.calls,
            "params": self.params,
            "flops": self.flops,
            "activations": self.activations,
            "gate_operations": self.gate_operations,
            "gate_bytes": self.gate_bytes,
        }


@dataclass(frozen=True, kw_only=True)
class StatsRow:
    """One line of a cost table: one attention module on one model.

    Attributes:
        model: The model's name.
        source: `timm`, `torchvision`, `factory`, `file` or `object`.
        attention: The module with its options, or None for the untouched base.
        placement: As in the plan, or None for the base.
        sites: How many modules were inserted.
        params: Of the modified model; None when `reason` is set.
        flops: Of the modified model; None when `reason` is set.
        activations: Of the modified model; None when `reason` is set.
        delta_params: Against the base.
        delta_flops: Against the base.
        delta_activations: Against the base.
        reason: Why there are no figures, or None.
        gate_operations: Elementwise operations of the inserted modules, minus those of the replaced ones;
            flops do not count them.
        gate_bytes: Bytes that these read and write, in float32.
        latency: How long a forward takes, if that was measured.
        memory: Peak memory of a training step, bytes, if that was measured.
        delta_memory: Against the base.
        per_site: What each inserted module costs.
    """

    model: str
    source: str
    attention: str | None
    placement: str | None
    sites: int = 0
    params: int | None = None
    flops: int | None = None
    activations: int | None = None
    delta_params: int | None = None
    delta_flops: int | None = None
    delta_activations: int | None = None
    reason: str | None = None
    gate_operations: int | None = None
    gate_bytes: int | None = None
    latency: Timing | None = None
    memory: int | None = None
    delta_memory: int | None = None
    per_site: tuple[SiteCost, ...] = ()

    def relative(self, quantity: str) -> float | None:
        """The change of a quantity of `RELATIVE` in percent of the base; None if it is not known."""
        if quantity == "latency":
            return None if self.latency is None else 100 * (self.latency.ratio - 1)
        total, delta = getattr(self, quantity), getattr(self, f"delta_{quantity}")
        if total is None or delta is None or total == delta:
            return None
        return float(100 * delta / (total - delta))


# The keys of a row in every JSON document and csv file; the others appear if requested.
ALWAYS = tuple(item.name for item in dataclasses.fields(StatsRow))[:12]
RELATIVE = ("params", "flops", "activations", "latency", "memory")
MORE = (
    "gate_operations",
    "gate_bytes",
    "latency",
    "delta_latency",
    "memory",
    "delta_memory",
    *(f"relative_{quantity}" for quantity in RELATIVE),
)


def value(row: StatsRow, column: str) -> Any:
    """What a row holds under a column of `ALWAYS` or `MORE`; latencies are median seconds.

    `delta_latency` is in seconds, `relative_...` in percent of the base.
    """
    if column.startswith("relative_"):
        return row.relative(column.removeprefix("relative_"))
    if column == "latency":
        return None if row.latency is None else row.latency.median
    if column == "delta_latency":
        return None if row.latency is None else row.latency.median * (1 - 1 / row.latency.ratio)
    return getattr(row, column)


@dataclass(frozen=True, kw_only=True)
class Stats(Shown):
    """A cost table.

    Attributes:
        rows: For each model its base and then one row for each attention module.
        uncounted: Operations that fvcore has no rule for, and how often they ran.
        versions: Of the libraries.
        notes: Sentences for people.
    """

    rows: tuple[StatsRow, ...]
    uncounted: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self, more: tuple[str, ...] = (), *, per_site: bool = False) -> dict[str, Any]:
        """The document of `stats --format json`.

        Args:
            more: Further keys of each row, of `MORE`.
            per_site: Whether each row lists its sites.
        """
        return {
            "rows": [_row_document(row, more, per_site) for row in self.rows],
            "uncounted": dict(self.uncounted),
            "versions": dict(self.versions),
        }


def _row_document(row: StatsRow, more: tuple[str, ...], per_site: bool) -> dict[str, Any]:
    document = {column: value(row, column) for column in (*ALWAYS, *more)}
    if "latency" in more and row.latency is not None:
        document["latency"] = dataclasses.asdict(row.latency)
    if per_site:
        document["per_site"] = [site.to_json() for site in row.per_site]
    return document
