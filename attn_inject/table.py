"""The cost table: many attention modules on many models, with the base counted once per model."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from attn_inject import registry, sources
from attn_inject.blocks.findings import Findings
from attn_inject.cost.count import Counted, count
from attn_inject.cost.sites import with_sites
from attn_inject.errors import FitError, NoSiteError
from attn_inject.operation import take
from attn_inject.outcome import Cost, Stats, StatsRow
from attn_inject.plan import AttentionSpec, ModelRequest, Plan, as_specs, make_plan
from attn_inject.sources.loaded import LoadedModel
from attn_inject.surgery import splice as splicing
from attn_inject.surgery.inject import decide, resolve_start, search


def stats(
    models: Sequence[nn.Module | str | ModelRequest] = ("resnet50",),
    attention: str | AttentionSpec | Sequence[str | AttentionSpec] | None = None,
    *,
    placement: str = "after",
    where: str | Sequence[str] = (),
    skip: str | Sequence[str] = (),
    stage: int | Sequence[int] = (),
    blocks: str = "residual",
    at: str | Sequence[str] = (),
    start: str = "paper",
) -> Stats:
    """What each attention module would cost on each model; allocates no weights.

    Args:
        models: Modules, names or requests.
        attention: The modules to compare, one row each; None means all that are known.
        placement: As in `inject`, like the options that follow.
        where: Globs of sites to keep.
        skip: Globs of sites to leave out.
        stage: Stage numbers to keep, from 1.
        blocks: `residual` or `family`.
        at: Globs of modules to take instead of residual blocks.
        start: `paper`, or `identity` to count its `alpha` too.

    Returns:
        For each model the row of its base and one row per attention module. A module that fits no site
        keeps its row with the reason.

    Raises:
        UnknownNameError: No such model or module.
        ModelError: A model cannot be built or run.
    """
    specs = as_specs(attention if attention is not None else list(registry.entries()))
    for spec in specs:
        registry.find(spec.name)
    plans = [make_plan(spec, placement, where, skip, stage, blocks, at, start) for spec in specs]
    uncounted: Counter[str] = Counter()
    rows: list[StatsRow] = []
    for model in [models] if isinstance(models, str | nn.Module | ModelRequest) else models:
        loaded = take(model, outline=True)
        rows.extend(_rows(_name_of(model, loaded), loaded, plans, uncounted))
    return Stats(rows=tuple(rows), uncounted=dict(uncounted.most_common()), versions=sources.versions())


def _rows(
    name: str, loaded: LoadedModel, plans: Sequence[Plan], uncounted: Counter[str]
) -> Iterator[StatsRow]:
    source = loaded.provenance.source
    base = count(loaded.model, loaded.inputs)
    uncounted.update(base.uncounted)
    bare = StatsRow(model=name, source=source, attention=None, placement=None)
    yield _with_figures(bare, base.cost, base.cost)
    findings: Findings | NoSiteError
    try:
        findings = search(loaded.model, loaded.inputs, plans[0])
    except NoSiteError as error:
        findings = error
    for plan in plans:
        row = StatsRow(model=name, source=source, attention=str(plan.attention[0]), placement=plan.placement)
        try:
            if isinstance(findings, NoSiteError):
                raise findings
            sites, cost = _operated(loaded, findings, plan, base, uncounted)
        except (NoSiteError, FitError) as error:
            yield dataclasses.replace(row, reason=error.message)
        else:
            yield _with_figures(dataclasses.replace(row, sites=sites), cost, base.cost)


def _operated(
    loaded: LoadedModel, findings: Findings, plan: Plan, base: Counted, uncounted: Counter[str]
) -> tuple[int, Cost]:
    """The number of sites and the cost of the operated model."""
    start = resolve_start(plan, has_weights=False)
    decision = decide(loaded.model, findings, plan, start=start)
    with torch.device("meta"):
        modules = [splicing.build(splice) for splice in decision.splices]
    model = loaded.model
    result = with_sites(base, decision.added(model, modules), removed=decision.removed(model))
    uncounted.update(Counter(result.uncounted) - Counter(base.uncounted))
    return len(decision.splices), result.cost


def _with_figures(row: StatsRow, cost: Cost, base: Cost) -> StatsRow:
    delta = cost - base
    return dataclasses.replace(
        row,
        params=cost.params,
        flops=cost.flops,
        activations=cost.activations,
        delta_params=delta.params,
        delta_flops=delta.flops,
        delta_activations=delta.activations,
    )


def _name_of(model: nn.Module | str | ModelRequest, loaded: LoadedModel) -> str:
    if isinstance(model, nn.Module):
        return loaded.provenance.name
    return model if isinstance(model, str) else model.name
