"""What a model would cost with attention in it: base, plus sites, minus what they replace."""

from __future__ import annotations

from dataclasses import dataclass

from attn_inject.cost.count import Counted
from attn_inject.cost.figures import SiteCost
from attn_inject.cost.site_cost import module_count, with_sites
from attn_inject.errors import NoSiteError
from attn_inject.operate.subjects import Subject
from attn_inject.request import Plan
from attn_inject.sites.site import Rejection
from attn_inject.surgery.apply import build_on_meta, spec_label
from attn_inject.surgery.decide import Decision, decide, resolve_start
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.inserted import AttnInject


@dataclass(frozen=True)
class PlannedCost:
    """A plan carried out on paper.

    Attributes:
        edits: What would be written in.
        modules: What each of them writes in, on the meta device; equal ones are one object.
        total: What the operated model costs.
        skipped: Sites that cannot take their module.
    """

    edits: tuple[Edit, ...]
    modules: tuple[AttnInject, ...]
    total: Counted
    skipped: tuple[Rejection, ...] = ()

    def site_costs(self) -> tuple[SiteCost, ...]:
        """What each inserted module costs over all its calls."""
        return tuple(map(_site_cost, self.edits, self.modules))


def operated(subject: Subject, plan: Plan) -> PlannedCost:
    """Decide what a plan does to a model, and count it.

    Raises:
        NoSiteError: The plan selects no site.
        FitError: No selected site can take its module.
    """
    if isinstance(subject.findings, NoSiteError):
        raise subject.findings
    start = resolve_start(plan, has_weights=False)
    return counted(subject, decide(subject.loaded.model, subject.findings, plan, start=start))


def counted(subject: Subject, decision: Decision) -> PlannedCost:
    """Count a model with the edits that were decided."""
    model, modules = subject.loaded.model, build_on_meta(decision.edits)
    total = with_sites(subject.base, decision.added(model, modules), removed=decision.removed(model))
    return PlannedCost(decision.edits, modules, total, decision.skipped)


def _site_cost(edit: Edit, module: AttnInject) -> SiteCost:
    one = module_count(module, edit.shape)
    cost, elementwise = one.cost.times(edit.site.calls), one.elementwise.times(edit.site.calls)
    return SiteCost(
        site=edit.site,
        attention=spec_label(edit),
        params=cost.params,
        flops=cost.flops,
        activations=cost.activations,
        gate_operations=elementwise.operations,
        gate_bytes=elementwise.moved,
    )
