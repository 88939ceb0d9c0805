"""The rows of the cost table."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Unpack

from attn_inject.attention import registry
from attn_inject.cost.budget import Budget
from attn_inject.cost.count import Counted, by_frequency
from attn_inject.cost.figures import Stats, StatsRow
from attn_inject.cost.latency import Conditions
from attn_inject.errors import CheckFailedError, FitError, ModelError, NoSiteError
from attn_inject.operate.containment import contained
from attn_inject.operate.edits import Edits, plan_edits
from attn_inject.operate.measure import Result, timed, weighed
from attn_inject.operate.model_names import Model, Wanted, expand
from attn_inject.operate.progress import ProgressCallback, logged
from attn_inject.operate.searched import SearchedModel, search_shapes
from attn_inject.request import Attention, Plan, SiteOptions, as_specs
from attn_inject.versions import versions


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Wanted:
    """The options for every model."""

    plans: Sequence[Plan]
    per_site: bool
    latency: bool
    memory: bool
    conditions: Conditions
    budget: Budget


@contained()
def stats(
    models: Model | Sequence[Model] = ("resnet50",),
    attention: Attention | None = None,
    *,
    strict: bool = False,
    per_site: bool = False,
    latency: bool = False,
    memory: bool = False,
    device: str = "cpu",
    batch_size: int = 1,
    dtype: str = "float32",
    compile: bool = False,
    budget: Budget | Mapping[str, str] | None = None,
    progress: ProgressCallback | None = None,
    **options: Unpack[SiteOptions],
) -> Stats:
    """What each attention module would cost on each model; counting allocates no weights.

    Args:
        models: Modules, requests or names; a name may be a glob, `@list.txt` (one name per line), a saved
            file or `package.module:factory`.
        attention: The modules to compare, one row each; None means all known ones.
        strict: Whether an operation that no rule counts is an error.
        per_site: Whether each row lists what every inserted module costs.
        latency: Whether to build the models and time one forward, base and modified alternately.
        memory: Whether to compute the peak memory of a training step, with two samples or more.
        device: The device for timing; likewise `batch_size`, `dtype` and `compile` (with `torch.compile`).
        budget: Limits by quantity, `{"params": "+1%", "latency": "+5%"}`; rows beyond them are left out.
        progress: Receives a sentence about each model.
        options: As in `inject`: `placement`, `where`, `skip`, `stage`, `blocks`, `at`, and `start`,
            `paper` by default, or `identity` to count its `alpha` too.

    Returns:
        For each model the row of its base and one per attention module. If a module fits no site, or a
        model of a glob or list cannot be built, the row has the reason instead of figures.

    Raises:
        AttnInjectError: A name, limit or condition is unknown; a named model cannot be built; nothing is
            within the budget; an operation was not counted (`strict`).
    """
    limits = budget if isinstance(budget, Budget) else Budget.parse(**dict(budget or {}))
    conditions = Conditions(device=device, batch_size=batch_size, dtype=dtype, compile=compile)
    conditions.check()
    wanted = _Wanted(
        plans=_plans(attention, options),
        per_site=per_site,
        latency=latency or limits.needs_latency,
        memory=memory,
        conditions=conditions,
        budget=limits,
    )
    uncounted: Counter[str] = Counter()
    rows = list(_all_rows(expand(models), wanted, uncounted, logged(progress)))
    if strict and uncounted:
        raise _not_counted(uncounted)
    return Stats(
        rows=tuple(_within(limits, rows) if limits else rows),
        uncounted=by_frequency(uncounted),
        versions=versions(),
    )


def _plans(attention: Attention | None, options: SiteOptions) -> list[Plan]:
    """One plan for each module; all known modules by default."""
    specs = as_specs(attention if attention is not None else list(registry.entries()))
    for spec in specs:
        registry.find(spec.name)
    options.setdefault("start", "paper")
    return [Plan.of(spec, **options) for spec in specs]


def _all_rows(
    models: Sequence[Wanted], options: _Wanted, uncounted: Counter[str], progress: ProgressCallback
) -> Iterator[StatsRow]:
    for index, wanted in enumerate(models, 1):
        progress(f"counting {wanted.name} ({index} of {len(models)})")
        yield from _rows(wanted, options, uncounted)


def _rows(wanted: Wanted, options: _Wanted, uncounted: Counter[str]) -> list[StatsRow]:
    try:
        searched = search_shapes(wanted, options.plans[0])
    except ModelError as error:
        if not wanted.listed:
            raise
        return [StatsRow(model=wanted.name, source="", attention=None, placement=None, reason=error.message)]
    uncounted.update(searched.base.uncounted)
    rows: list[Result] = [(_base_row(searched), None)]
    for plan in options.plans:
        row, result = _row(searched, plan, per_site=options.per_site)
        rows.append((row, result))
        if result is not None:
            uncounted.update(Counter(result.total.uncounted) - Counter(searched.base.uncounted))
    if options.latency:
        # Rows that exceed another limit need not be timed.
        worth = [(row, result if options.budget.admits(row) else None) for row, result in rows]
        rows = timed(wanted, searched, worth, options.conditions)
    if options.memory:
        rows = list(weighed(searched, rows, options.conditions))
    return [row for row, _ in rows]


def _row(searched: SearchedModel, plan: Plan, *, per_site: bool) -> Result:
    bare = StatsRow(
        model=searched.name,
        source=searched.source,
        attention=str(plan.attention[0]),
        placement=plan.placement,
    )
    try:
        result = plan_edits(searched, plan, has_weights=False)
        result.count()
    except (NoSiteError, FitError) as error:
        return dataclasses.replace(bare, reason=error.message), None
    return _operated_row(bare, result, searched.base, per_site=per_site), result


def _base_row(searched: SearchedModel) -> StatsRow:
    bare = StatsRow(model=searched.name, source=searched.source, attention=None, placement=None)
    return _with_figures(bare, searched.counted, searched.counted)


def _operated_row(bare: StatsRow, result: Edits, base: Counted, *, per_site: bool) -> StatsRow:
    row = _with_figures(bare, result.total, base)
    sites = result.site_costs() if per_site else ()
    return dataclasses.replace(row, sites=len(result), per_site=sites)


def _with_figures(row: StatsRow, result: Counted, base: Counted) -> StatsRow:
    cost, delta = result.cost, result.cost - base.cost
    is_base = row.attention is None
    return dataclasses.replace(
        row,
        params=cost.params,
        flops=cost.flops,
        activations=cost.activations,
        delta_params=delta.params,
        delta_flops=delta.flops,
        delta_activations=delta.activations,
        gate_operations=None if is_base else delta.gate_operations,
        gate_bytes=None if is_base else delta.gate_bytes,
    )


def _within(budget: Budget, rows: Sequence[StatsRow]) -> list[StatsRow]:
    """The bases, and the rows within a budget.

    Raises:
        NoSiteError: No row is within it; the cheapest is named.
    """
    kept = [row for row in rows if row.attention is None or budget.admits(row)]
    if any(row.attention is not None for row in kept):
        return kept
    others = [row for row in rows if row.attention is not None and row.reason is None]
    if not others:
        raise NoSiteError(f"Nothing is within {budget}: no module fits a site.", hint=rows[-1].reason or "")
    quantity = next((name for name in budget.limits if name != "latency"), "params")
    cheapest = min(others, key=lambda row: getattr(row, f"delta_{quantity}"))
    raise NoSiteError(
        f"Nothing is within {budget}. The cheapest is {cheapest.attention} on {cheapest.model} "
        f"with {cheapest.delta_params:,} params and {cheapest.delta_flops:,} flops more{_slower(cheapest)}.",
        hint="Raise the limit, or choose fewer sites: `attn-inject fit MODEL --attn NAME --max-params +1%`.",
    )


def _slower(row: StatsRow) -> str:
    percent = row.relative("latency")
    return "" if percent is None else f" and {percent:+.1f}% latency"


def _not_counted(uncounted: Counter[str]) -> CheckFailedError:
    ran = ", ".join(f"{operation} x{count}" for operation, count in by_frequency(uncounted).items())
    return CheckFailedError(
        f"{len(uncounted)} operations were not counted, since fvcore has no rule for them: {ran}.",
        hint="Without --strict they are listed below the table.",
    )
