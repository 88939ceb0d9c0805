"""Choosing the sites that a budget allows, from the last stage backwards."""

from __future__ import annotations

from typing import Unpack

from attn_inject.attention import registry
from attn_inject.cost.budget import Budget, Fit
from attn_inject.errors import UsageError
from attn_inject.operate.containment import contained
from attn_inject.operate.edits import plan_edits
from attn_inject.operate.model_names import Model, expand
from attn_inject.operate.searched import search_shapes
from attn_inject.request import Attention, Plan, SiteOptions


@contained()
def fit(model: Model, attention: Attention | Plan, budget: Budget, **options: Unpack[SiteOptions]) -> Fit:
    """Choose as many sites as a budget allows, the last block first; one that would exceed it is passed over.

    Args:
        model: A module, a name or a request.
        attention: The module.
        budget: Limits on parameters, flops or activations.
        options: As in `inject`: `placement`; `where`, `skip` and `stage` to select among sites; `blocks`
            and `at`; `start`, `paper` by default, or `identity` to count its `alpha` too.

    Raises:
        UsageError: The budget has no limit, or one of latency; or several models are named.
        UnknownNameError: No such model or module.
        ModelError: The model cannot be built or run.
        NoSiteError: The model has no site, or none is within the budget.
        FitError: No site can take the module.
    """
    budget.require_counted()
    if not isinstance(attention, Plan):
        options.setdefault("start", "paper")
    plan = Plan.of(attention, **options)
    registry.find(plan.attention[0].name)
    wanted = expand(model)
    if len(wanted) != 1:
        raise UsageError(f"{len(wanted)} models are named.", hint="A budget applies to one model.")
    searched = search_shapes(wanted[0], plan)
    everything = plan_edits(searched, plan, has_weights=False)
    chosen = everything.fit(budget)
    return Fit(
        model=searched.name,
        source=searched.source,
        attention=str(plan.attention[0]),
        placement=plan.placement,
        budget=str(budget),
        sites=tuple(edit.name for edit in chosen),
        candidates=tuple(edit.name for edit in everything),
        stages={edit.name: edit.site.stage for edit in everything},
        base=searched.counted.cost,
        result=chosen.total.cost,
    )
