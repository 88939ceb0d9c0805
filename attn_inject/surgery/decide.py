"""From a plan to edits: for each site the module, its options and its tap, or the reason for a skip.

Deciding and editing are separate: the result of `decide` can be printed, saved and applied later.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from attn_inject.attention import registry
from attn_inject.attention.contract import needs_size
from attn_inject.attention.factory import Resolved, build, resolve
from attn_inject.errors import FitError, NoSiteError, UsageError
from attn_inject.models.inputs import InputSpec
from attn_inject.request import Plan
from attn_inject.sites.finder import find
from attn_inject.sites.findings import Findings, FoundSite
from attn_inject.sites.selection import select
from attn_inject.sites.site import Reason, Rejection, RejectionCode, Site
from attn_inject.surgery.apply import free_name, refusal
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.inserted import operations
from attn_inject.surgery.placements import targets
from attn_inject.surgery.placements.paper import Assignment, assign, note, replaces
from attn_inject.surgery.placements.replace_attention import attention_of
from attn_inject.surgery.placements.stem import Enlarged, decide_stem
from attn_inject.surgery.placements.target import Target

NO_GRID = Reason(RejectionCode.NO_GRID, "its tokens have no grid, and this module needs one")
ORDERED = Reason(
    RejectionCode.ORDERED,
    "its tokens attend only to those before them, and this module mixes positions, so that they would see "
    "those behind them",
)
UNREAD_GRID = Reason(
    RejectionCode.UNREAD_GRID,
    "nothing reads the tokens of its grid afterwards, so a spatial module would have no effect",
)
Call = tuple[nn.Module, tuple[int, ...], int]  # module, shape of its input with batch, calls per forward


@dataclass(frozen=True)
class Decision:
    """The edits of a plan.

    Attributes:
        edits: One edit per site.
        skipped: Selected sites that cannot take their module, with reasons.
        enlarged: Modules of a replaced stem that get a larger map.
    """

    edits: tuple[Edit, ...]
    skipped: tuple[Rejection, ...]
    enlarged: tuple[Enlarged, ...] = ()

    @property
    def removed_keys(self) -> tuple[str, ...]:
        """State-dict keys of the model that are removed."""
        return tuple(f"{edit.name}.{key}" for edit in self.edits for key in edit.removed)

    def added(self, model: nn.Module, inserted: Sequence[nn.Module]) -> list[Call]:
        """The modules that run in addition, with the shape of their input and their calls in one forward.

        Args:
            model: The untouched model.
            inserted: The module of each edit.
        """
        calls = [(m, s.shape, s.site.calls) for m, s in zip(inserted, self.edits, strict=True)]
        return calls + [(model.get_submodule(item.name), item.after, 1) for item in self.enlarged]

    def removed(self, model: nn.Module) -> list[Call]:
        """The modules that no longer run in this way."""
        calls = [(model.get_submodule(s.name), s.shape, s.site.calls) for s in self.edits if s.replaces]
        return calls + [(model.get_submodule(item.name), item.before, 1) for item in self.enlarged]


def search(model: nn.Module, inputs: InputSpec, plan: Plan) -> Findings:
    """Find what a plan's placement acts on: residual blocks, or the attention that a model has.

    Raises:
        ModelError: The model cannot be run.
        NoSiteError: There is no attention to replace, or a glob of `at` names no module that ran.
    """
    at = plan.at
    if plan.placement == "replace-attention" and not at:
        at = attention_of(model)
        if not at:
            raise NoSiteError(
                "The model has no channel or spatial attention of its own to replace.",
                hint="Another --placement adds attention; --at GLOB names modules to replace.",
            )
    return find(model, inputs, blocks="family" if plan.placement == "paper" else plan.blocks, at=at)


def resolve_start(plan: Plan, *, has_weights: bool) -> str:
    """`identity` or `paper`.

    Raises:
        FitError: The identity start is asked for, but a module is replaced.
    """
    replaced = [spec.name for spec in plan.attention if replaces(spec, plan)]
    if replaced and plan.start == "identity":
        raise FitError(
            f"{replaced[0]} would replace a module, so it cannot start as the identity.",
            hint="Leave out --start identity: replacing modules always have the paper start.",
        )
    if plan.start == "auto":
        return "identity" if has_weights and not replaced else "paper"
    return plan.start


@dataclass(frozen=True)
class _Tried:
    """How a module acts, or why it cannot be built for a number of channels and a size of the map."""

    refusal: str = ""
    is_spatial: bool = True
    mixes_positions: bool = True
    fewest_positions: int = 1


_TRIED: dict[Hashable, _Tried] = {}


def decide(model: nn.Module, findings: Findings, plan: Plan, *, start: str) -> Decision:
    """Decide for each selected site what is inserted and how.

    Args:
        model: The model that was searched; it is not changed.
        findings: What the recorded run showed.
        plan: What is asked.
        start: `identity` or `paper`, resolved.

    Raises:
        NoSiteError: The plan selects no site.
        FitError: No selected site can take its module, or (`strict`) one of them cannot.
    """
    selected = select(findings, plan)
    _require_use(plan, selected)
    assigned = assign(selected, findings.found, plan)
    if not assigned:
        raise FitError(
            f"The paper's placement does not occur in this model: {'; '.join(map(note, plan.attention))}.",
            hint="Choose another --placement.",
        )
    edits: list[Edit] = []
    skipped: list[Rejection] = []
    for item in assigned:
        for outcome in _decide_one(model, findings, item, start):
            if isinstance(outcome, Edit):
                edits.append(outcome)
            elif plan.strict:
                raise FitError(
                    f"{outcome.name} cannot take {item.spec}: {outcome.reason}.",
                    hint="Leave out --strict to skip it.",
                )
            else:
                skipped.append(outcome)
    if not edits:
        first = skipped[0]
        raise FitError(
            f"None of the {len(skipped)} selected sites can take the module with --placement "
            f"{plan.placement}; {first.name}, for one: {first.reason}.",
            hint="Another --placement or another module may fit; `attn-inject sites MODEL` shows the sites.",
        )
    refuse_nested(edits)
    stem, enlarged = decide_stem(findings.recording, plan.attention[0]) if plan.stem else ((), ())
    operation = operations(model)
    completed = tuple(_completed(model, edit, operation) for edit in (*stem, *edits))
    return Decision(completed, tuple(skipped), enlarged)


def _require_use(plan: Plan, selected: Sequence[FoundSite]) -> None:
    """Refuse a spec for which earlier ones leave no site."""
    used = {id(plan.spec_for(f.site.name)) for f in selected}
    for spec in plan.attention:
        if id(spec) not in used:
            raise UsageError(
                f"{spec} is used at no site: an earlier --attn matches them all.",
                hint=f"Give the earlier one a glob, for example --attn 'layer4.*=NAME' --attn {spec.name}.",
            )


def refuse_nested(edits: Sequence[Edit]) -> None:
    """Refuse two edits of one plan that are of the same module, or of one inside the other.

    Raises:
        FitError: Names both.
    """
    names = {edit.name for edit in edits}
    for edit in edits:
        parts = edit.name.split(".")
        around = [above for end in range(1, len(parts)) if (above := ".".join(parts[:end])) in names]
        if around:
            raise FitError(
                f"{around[0]} and {edit.name}, which is inside it, are both selected.",
                hint="Choose one of them, with a narrower glob or --skip; or insert one after the other.",
            )
    if len(names) < len(edits):
        counts = Counter(edit.name for edit in edits)
        twice = next(name for name, count in counts.items() if count > 1)
        raise FitError(
            f"{twice} is selected twice.", hint="Insert one module first, then search again for the other."
        )


def _completed(model: nn.Module, edit: Edit, operation: int) -> Edit:
    """An edit with the number of its modification and, if it replaces, the removed state-dict keys."""
    removed = tuple(model.get_submodule(edit.name).state_dict()) if edit.replaces else ()
    return dataclasses.replace(edit, operation=operation, removed=removed)


def _decide_one(model: nn.Module, findings: Findings, item: Assignment, start: str) -> list[Edit | Rejection]:
    """The edits at one site, and the reasons why others are impossible."""
    return [
        _edit(model, target, item, start)
        for target in targets(item.placement, item.found, findings.recording)
    ]


def _edit(model: nn.Module, target: Target | Rejection, item: Assignment, start: str) -> Edit | Rejection:
    name = target.name if isinstance(target, Rejection) else target.site.name
    block = model.get_submodule(name)
    told = name if item.placement == "replace-conv" else item.found.site.name
    if name == told and isinstance(target, Rejection) and item.placement == "replace-conv":
        return target
    if refused := refusal(block):
        return Rejection(name=told, code=RejectionCode.NOT_EXCHANGEABLE, reason=refused)
    if isinstance(target, Rejection):
        return target
    resolved = resolve(item.spec, target.site.channels)
    if reason := _misfit(resolved, target.site, item.found):
        return Rejection.of(told, reason)
    return Edit(
        site=target.site,
        module=free_name(block),
        attention=resolved.entry.name,
        options=dict(resolved.options),
        placement=item.placement,
        start=start,
        shape=target.shape,
        tap=target.tap,
        users=target.users,
        specialized=target.specialized,
        stride=target.stride,
        note="; ".join(filter(None, (resolved.note, target.note))),
    )


def _misfit(resolved: Resolved, site: Site, found: FoundSite) -> Reason | None:
    """Why a module cannot act on the tensor of a site, or None if it can."""
    if site.height is None and needs_size(registry.load(resolved.entry)):
        return NO_GRID
    tried = _tried(resolved, site.channels, site.map_size)
    if tried.refusal:
        return Reason(RejectionCode.CANNOT_BUILD, tried.refusal)
    if site.ordered and tried.mixes_positions:
        return ORDERED
    if site.height is None and tried.is_spatial and tried.mixes_positions:
        return NO_GRID
    if site.map_size is not None and math.prod(site.map_size) < tried.fewest_positions:
        text = f"its map is {site.size}, and this module needs {tried.fewest_positions} positions or more"
        return Reason(RejectionCode.TOO_SMALL, text)
    if tried.is_spatial and not found.grid_is_read:
        return UNREAD_GRID
    return None


def _tried(resolved: Resolved, channels: int, size: tuple[int, int] | None) -> _Tried:
    """The result of building the module; a model has few kinds of sites, so each is tried once."""
    key = (registry.load(resolved.entry), tuple(resolved.options.items()), channels, size)
    if key not in _TRIED:
        try:
            with torch.device("meta"):
                module = build(resolved, channels=channels, size=size)
        except FitError as error:
            _TRIED[key] = _Tried(refusal=error.message.rstrip("."))
        else:
            # The class does not determine this, since an option may turn a channel gate into a spatial one.
            is_spatial = getattr(module, "acts_on", "spatial") != "channel"
            fewest = getattr(module, "fewest_positions", 1)
            mixes = getattr(module, "mixes_positions", True)
            _TRIED[key] = _Tried(is_spatial=is_spatial, mixes_positions=mixes, fewest_positions=fewest)
    return _TRIED[key]


def notes_of(plan: Plan, decision: Decision) -> tuple[str, ...]:
    """Notes on a decision for people: the papers' placements, and what is replaced."""
    notes = []
    if plan.placement == "paper":
        notes += [f"the paper's placement of {note(spec)}." for spec in plan.attention]
    if keys := decision.removed_keys:
        gone = sum(edit.replaces for edit in decision.edits)
        more = f" and {len(keys) - 3} more (--json lists all)" if len(keys) > 3 else ""
        notes.append(f"{gone} modules are replaced, and their keys removed: {', '.join(keys[:3])}{more}.")
    return tuple(notes)
