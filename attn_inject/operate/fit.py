"""Choosing the sites that a budget allows, from the last stage backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attn_inject.attention import registry
from attn_inject.cost.budget import Budget, Fit
from attn_inject.cost.cost import Cost
from attn_inject.errors import NoSiteError, UsageError
from attn_inject.operate.model_names import Model, expand
from attn_inject.operate.planned_cost import counted, operated
from attn_inject.operate.subjects import subject_of
from attn_inject.request import AttentionSpec, make_plan
from attn_inject.surgery.decide import Decision


def fit(
    model: Model,
    attention: str | AttentionSpec,
    budget: Budget,
    *,
    placement: str = "after",
    where: str | Sequence[str] = (),
    skip: str | Sequence[str] = (),
    stage: int | Sequence[int] = (),
    blocks: str = "residual",
    at: str | Sequence[str] = (),
    start: str = "paper",
) -> Fit:
    """Choose as many sites as a budget allows, the last block first; a block that is too dear is passed over.

    Args:
        model: A module, a name or a request.
        attention: The module.
        budget: Limits on parameters, flops or activations.
        placement: As in `inject`, like the options that follow.
        where: Globs of sites to choose among; `skip` those to leave out, `stage` numbers, from 1.
        blocks: `residual` or `family`; `at` globs of modules to take instead of residual blocks.
        start: `paper`, or `identity` to count its `alpha` too.

    Raises:
        UsageError: The budget has no limit, or one of latency; or several models are named.
        UnknownNameError: No such model or module.
        ModelError: The model cannot be built or run.
        NoSiteError: The model has no site, or none is within the budget.
        FitError: No site can take the module.
    """
    _check(budget)
    plan = make_plan(attention, placement, where, skip, stage, blocks, at, start)
    registry.find(plan.attention[0].name)
    wanted = expand(model)
    if len(wanted) != 1:
        raise UsageError(f"{len(wanted)} models are meant.", hint="A budget is filled for one at a time.")
    subject = subject_of(wanted[0], plan)
    everything = operated(subject, plan)
    base = subject.base.cost
    alone = [counted(subject, Decision((edit,), ())).total.cost - base for edit in everything.edits]
    chosen: list[int] = []
    result = base
    for index in reversed(range(len(alone))):
        if not budget.exceeded(result + alone[index], base):
            chosen, result = [index, *chosen], result + alone[index]
    if not chosen:
        raise _nothing_fits(subject.name, plan.attention[0], budget, alone, everything.edits)
    return Fit(
        model=subject.name,
        source=subject.source,
        attention=str(plan.attention[0]),
        placement=placement,
        budget=str(budget),
        sites=tuple(everything.edits[index].name for index in chosen),
        candidates=tuple(edit.name for edit in everything.edits),
        stages={edit.name: edit.site.stage for edit in everything.edits},
        base=base,
        result=result,
    )


def _check(budget: Budget) -> None:
    if not budget:
        raise UsageError(
            "There is no budget to stay inside.", hint="Add --max-params +1% or --max-flops +0.5%."
        )
    if budget.needs_latency:
        raise UsageError(
            "Sites cannot be chosen by latency, which is measured for a whole model.",
            hint="Choose them by --max-params or --max-flops, then `attn-inject stats --latency`.",
        )


def _nothing_fits(
    name: str, spec: AttentionSpec, budget: Budget, alone: Sequence[Cost], edits: Sequence[Any]
) -> NoSiteError:
    quantity = next(iter(budget.limits))
    cheapest = min(range(len(alone)), key=lambda index: getattr(alone[index], quantity))
    return NoSiteError(
        f"Not one block of {name} can take {spec} within {budget}. The cheapest is {edits[cheapest].name} "
        f"with {alone[cheapest].params:,} params and {alone[cheapest].flops:,} flops more.",
        hint="Raise the limit, or choose a lighter module: `attn-inject stats MODEL --sort params`.",
    )
