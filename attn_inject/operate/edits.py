"""The edits of a model, decided but not yet made. A dry run prints them, `apply` makes them."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from attn_inject.attention.factory import build, resolve
from attn_inject.checks.reference import reference_outputs, reference_shapes
from attn_inject.checks.runner import prove_all, prove_structure
from attn_inject.cost.budget import Budget
from attn_inject.cost.cost import QUANTITIES, Cost
from attn_inject.cost.count import Counted
from attn_inject.cost.figures import SiteCost
from attn_inject.cost.site_cost import module_count, with_sites
from attn_inject.errors import CheckFailedError, FitError, NoSiteError, UsageError
from attn_inject.models.loaded import LoadedModel
from attn_inject.models.randomness import seeded
from attn_inject.operate.containment import contained
from attn_inject.operate.injected import Injected
from attn_inject.operate.progress import ProgressCallback, log, logged
from attn_inject.operate.searched import SearchedModel
from attn_inject.request import Plan, to_dict
from attn_inject.results import Check, Insertion, Report
from attn_inject.shown import Shown
from attn_inject.sites.site import Rejection, Site
from attn_inject.surgery.apply import apply_edits, build_on_meta, spec_label
from attn_inject.surgery.decide import Decision, decide, notes_of, refuse_nested, resolve_start
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.inserted import AttnInject
from attn_inject.surgery.origin import Origin, attach_origin, origin_of
from attn_inject.surgery.removal import undo
from attn_inject.versions import versions


@dataclass(frozen=True, kw_only=True, repr=False)
class Edits(Shown):
    """Edits of one model, with their cost; nothing is changed until `apply`.

    Attributes:
        searched: The model and its sites.
        plans: What was asked; a sum of edits has one plan for each part.
        start: `identity` or `paper`.
        decision: The edits, and what was skipped.
    """

    searched: SearchedModel
    plans: tuple[Plan, ...]
    start: str
    decision: Decision

    @property
    def plan(self) -> Plan:
        """What was asked; for a sum, its first part."""
        return self.plans[0]

    def __len__(self) -> int:
        return len(self.decision.edits)

    def __iter__(self) -> Iterator[Edit]:
        return iter(self.decision.edits)

    def __repr__(self) -> str:
        return f"<{len(self)} edits of {self.searched.name}>"

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites, with layout, channels and size of the tensors that the modules act on."""
        return tuple(edit.site for edit in self)

    @property
    def skipped(self) -> tuple[Rejection, ...]:
        """Selected sites that cannot take their module, with reasons."""
        return self.decision.skipped

    @cached_property
    def modules(self) -> tuple[AttnInject, ...]:
        """The module of each edit, on the meta device; equal ones are one object."""
        return build_on_meta(self.decision.edits)

    @cached_property
    def total(self) -> Counted:
        """What the modified model costs: the base plus the modules, minus what they replace."""
        model = self.searched.model
        added, removed = self.decision.added(model, self.modules), self.decision.removed(model)
        return with_sites(self.searched.base, added, removed=removed)

    @property
    def cost(self) -> Cost:
        """What is added to one forward of one sample."""
        return self.total.cost - self.searched.base.cost

    def site_costs(self) -> tuple[SiteCost, ...]:
        """What each module costs over all its calls."""
        return tuple(map(_site_cost, self.decision.edits, self.modules))

    def __add__(self, other: Edits) -> Edits:
        """Both as one modification; they must be of the same search and of different blocks.

        Raises:
            UsageError: They are of two searches, or start differently.
            FitError: Two edits are of the same block, or of one inside the other.
        """
        if self.searched is not other.searched:
            raise UsageError(
                "The edits come from two searches, whose sites may differ.",
                hint="Take both from one find_sites(model).",
            )
        if self.start != other.start:
            raise UsageError(
                f"One has the {self.start} start, the other the {other.start} start.",
                hint="Give start= for both.",
            )
        mine, theirs = self.decision, other.decision
        refuse_nested((*mine.edits, *theirs.edits))
        decision = Decision(
            (*mine.edits, *theirs.edits),
            (*mine.skipped, *theirs.skipped),
            (*mine.enlarged, *theirs.enlarged),
        )
        return dataclasses.replace(self, plans=(*self.plans, *other.plans), decision=decision)

    def only(self, keep: Callable[[Edit], bool]) -> Edits:
        """The edits for which `keep` returns True."""
        kept = tuple(edit for edit in self if keep(edit))
        return dataclasses.replace(self, decision=dataclasses.replace(self.decision, edits=kept))

    @contained()
    def fit(self, budget: Budget | None = None, **limits: str) -> Edits:
        """As many edits as a budget allows, the last block first; one that would exceed it is passed over.

        Args:
            budget: Limits, or by quantity: `max_params="+1%"`, `max_flops`, `max_activations`.
            limits: See `budget`.

        Raises:
            UsageError: There is no limit, or one of latency, which is measured for a whole model.
            NoSiteError: No edit is within the budget.
            ModelError: The untouched model cannot be counted.
        """
        budget = budget or Budget.parse(**{key.removeprefix("max_"): text for key, text in limits.items()})
        budget.require_counted()
        base = self.searched.counted.cost
        alone = {edit.path: self._alone(edit).cost for edit in self}
        chosen: set[str] = set()
        result = base
        for edit in reversed(self.decision.edits):
            if not budget.exceeded(result + alone[edit.path], base):
                chosen.add(edit.path)
                result += alone[edit.path]
        if not chosen:
            raise self._nothing_fits(budget, alone)
        return self.only(lambda edit: edit.path in chosen)

    def _alone(self, edit: Edit) -> Edits:
        return dataclasses.replace(self, decision=Decision((edit,), ()))

    def _nothing_fits(self, budget: Budget, alone: Mapping[str, Cost]) -> NoSiteError:
        quantity = next(iter(budget.limits))
        cheapest = min(self, key=lambda edit: int(getattr(alone[edit.path], quantity)))
        cost, spec = alone[cheapest.path], self.plan.attention[0]
        return NoSiteError(
            f"No block of {self.searched.name} can take {spec} within {budget}. The cheapest is "
            f"{cheapest.name} with {cost.params:,} params and {cost.flops:,} flops more.",
            hint="Raise the limit, or choose a smaller module: `attn-inject stats MODEL --sort params`.",
        )

    def count(self) -> Counted:
        """What the modified model costs; counted once."""
        return self.total

    def preview(self) -> Injected:
        """The same as `apply` returns, but with the untouched model: nothing is inserted or checked."""
        return self._result(self.searched.loaded, self.plan, ())

    def report(self, *, checks: tuple[Check, ...] = ()) -> Report:
        """What is done and what it costs, as the command line prints it."""
        searched, plans = self.searched, self.plans
        notes = dict.fromkeys(note for plan in plans for note in notes_of(plan, self.decision))
        specs = dict.fromkeys(str(spec) for plan in plans for spec in plan.attention)
        return Report(
            model=searched.name,
            source=searched.source,
            attention=tuple(specs),
            placement=", ".join(dict.fromkeys(plan.placement for plan in plans)),
            start=self.start,
            input_size=searched.loaded.inputs.size,
            insertions=tuple(map(_insertion, self.decision.edits, self.modules)),
            rejected=(*self.skipped, *searched.findings.rejected),
            removed=self.decision.removed_keys,
            base=searched.base.cost,
            result=self.total.cost,
            uncounted=self.total.uncounted,
            uncountable=self.total.uncountable,
            checks=checks,
            versions=versions(),
            weights=searched.loaded.provenance.weights,
            notes=(*searched.loaded.notes, *notes),
        )

    @contained()
    def apply(
        self,
        *,
        check: str | None = None,
        inplace: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Injected:
        """Insert the modules and check the result.

        Args:
            check: `full`, `structure` or `off`; None for the plan's own.
            inplace: Whether to edit the searched model itself, if it was given as an object; else a copy.
            progress: Receives a sentence about each step.

        Raises:
            ModelError: The model cannot be copied or does not run.
            CheckFailedError: The modified model failed a check; a model edited in place is restored.
        """
        plan = self.plan if check is None else Plan.of(self.plan, check=check)
        loaded = self.searched.loaded if inplace else self.searched.reload()
        earlier = origin_of(loaded.model)  # new modules do not know it yet
        checks = self._insert(loaded, plan, logged(progress))
        asked = [to_dict(dataclasses.replace(part, start=self.start)) for part in self.plans]
        plans = (*(earlier.plans if earlier else ()), *asked)
        attach_origin(loaded.model, Origin(loaded.provenance, plans))
        for edit in self:
            log.debug("%s: %s, %s, start %s", edit.path, edit.attention, edit.placement, edit.start)
        log.info("inserted %d modules in %s", len(self), self.searched.name)
        return self._result(loaded, plan, checks)

    def _result(self, loaded: LoadedModel, plan: Plan, checks: tuple[Check, ...]) -> Injected:
        return Injected(
            model=loaded.model,
            report=self.report(checks=checks),
            edits=self.decision.edits,
            loaded=loaded,
            plan=plan,
        )

    def _insert(self, loaded: LoadedModel, plan: Plan, progress: ProgressCallback) -> tuple[Check, ...]:
        model = loaded.model
        proof = None
        if plan.check != "off":
            progress("recording the outputs of the untouched model")
            proof = self._proof(loaded, plan)
        progress("inserting attention modules")
        try:
            with contained():
                with seeded(plan.seed):
                    apply_edits(model, self.decision.edits)
                if proof is None:
                    return ()
                progress("checking")
                checks = proof()
                require(checks)
        except BaseException:
            undo(model, [edit for edit in self if _is_inserted(model, edit)])
            raise
        return checks

    def _proof(self, loaded: LoadedModel, plan: Plan) -> Callable[[], tuple[Check, ...]]:
        """Record the untouched model; the returned function compares the modified one with it."""
        model, inputs = loaded.model, loaded.inputs
        calls = {edit.path: edit.site.calls for edit in self}
        removed = self.decision.removed_keys
        if plan.check == "structure":
            known = reference_shapes(model, self.searched.findings.recording)
            return lambda: prove_structure(model, inputs, known, calls=calls, removed=removed)
        before = reference_outputs(model, inputs, seed=plan.seed)
        identity = self.start == "identity"
        return lambda: prove_all(model, inputs, before, calls=calls, identity=identity, removed=removed)


def plan_edits(searched: SearchedModel, plan: Plan, *, has_weights: bool) -> Edits:
    """Decide what a plan does to a model.

    Args:
        searched: The model and its sites.
        plan: What is asked.
        has_weights: Whether the start `auto` is the identity.

    Raises:
        NoSiteError: The plan selects no site.
        FitError: No selected site can take its module.
    """
    findings = searched.findings
    start = resolve_start(plan, has_weights=has_weights)
    try:
        decision = decide(searched.model, findings, plan, start=start)
    except FitError:
        _refuse_option_values(plan)
        raise
    return Edits(searched=searched, plans=(plan,), start=start, decision=decision)


_COMMON = 1024  # channels that every sensible option divides


def _refuse_option_values(plan: Plan) -> None:
    """Tell a value that an option never takes, `se:reduction=0`, from one that does not fit these sites.

    Raises:
        UsageError: Names the option and what it takes.
    """
    for spec in plan.attention:
        try:
            build(resolve(spec, _COMMON), channels=_COMMON, size=(64, 64))
        except FitError as error:
            reason = str(error.__cause__ or error)
            if "is not accepted" in reason:
                plain = shlex.quote(str(dataclasses.replace(spec, options={})))
                raise UsageError(reason, hint=f"With the defaults, write --attn {plain}.") from error


def require(checks: Sequence[Check]) -> None:
    """Raise if a check failed.

    Raises:
        CheckFailedError: Names the check and what it found.
    """
    failed = [check for check in checks if not check.passed]
    if failed:
        raise CheckFailedError(
            f"{len(failed)} of {len(checks)} checks failed. "
            + " ".join(f"{check.name}: {check.detail}." for check in failed),
            hint="Nothing was saved. Another --placement, or --skip GLOB, may avoid the block at fault.",
        )


def _is_inserted(model: nn.Module, edit: Edit) -> bool:
    return edit.module in model.get_submodule(edit.name)._modules


def _insertion(edit: Edit, module: AttnInject) -> Insertion:
    return Insertion(
        site=edit.site,
        attention=spec_label(edit),
        module=edit.path,
        cost=module_count(module, edit.shape).cost.times(edit.site.calls),
        note=edit.note,
    )


def _site_cost(edit: Edit, module: AttnInject) -> SiteCost:
    cost = module_count(module, edit.shape).cost.times(edit.site.calls)
    quantities = {name: getattr(cost, name) for name in QUANTITIES}
    return SiteCost(site=edit.site, attention=spec_label(edit), **quantities)
