"""From a plan to edits: for each site the module, its options and its tap, or the reason for a skip.

Deciding and editing are apart: what `decide` returns can be printed, saved and replayed by `edit.apply`.
"""

from __future__ import annotations

import dataclasses
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
from attn_inject.sites import layout as layouts
from attn_inject.sites.finder import find
from attn_inject.sites.findings import Findings, FoundSite
from attn_inject.sites.layout import Layout
from attn_inject.sites.recording import Recording, tensors_of
from attn_inject.sites.selection import select
from attn_inject.sites.site import Rejection
from attn_inject.surgery.apply import free_name, refusal
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.paper_placement import Assignment, assign, note, replaces
from attn_inject.surgery.placements import Tap, find_tap
from attn_inject.surgery.replacing import Target, attention_of, convolutions
from attn_inject.surgery.stem import Enlarged, decide_stem

Call = tuple[nn.Module, tuple[int, ...], int]  # module, shape of its input with batch, calls a forward


@dataclass(frozen=True)
class Decision:
    """What will be done.

    Attributes:
        edits: One edit per site.
        skipped: Selected sites that cannot take their module, with reasons.
        enlarged: Modules of a replaced stem that see a larger map.
    """

    edits: tuple[Edit, ...]
    skipped: tuple[Rejection, ...]
    enlarged: tuple[Enlarged, ...] = ()

    @property
    def removed_keys(self) -> tuple[str, ...]:
        """State-dict keys of the model that go."""
        return tuple(f"{edit.name}.{key}" for edit in self.edits for key in edit.removed)

    def added(self, model: nn.Module, inserted: Sequence[nn.Module]) -> list[Call]:
        """What runs in addition, with its input's shape and its number of calls in one forward.

        Args:
            model: The untouched model.
            inserted: The module of each edit.
        """
        calls = [(m, s.shape, s.calls) for m, s in zip(inserted, self.edits, strict=True)]
        return calls + [(model.get_submodule(item.name), item.after, 1) for item in self.enlarged]

    def removed(self, model: nn.Module) -> list[Call]:
        """What no longer runs in that way."""
        calls = [(model.get_submodule(s.name), s.shape, s.calls) for s in self.edits if s.replaces]
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
        FitError: The identity is asked for where a module is replaced.
    """
    replaced = [spec.name for spec in plan.attention if replaces(spec, plan)]
    if replaced and plan.start == "identity":
        raise FitError(
            f"{replaced[0]} would replace a module, so there is nothing that it could leave unchanged.",
            hint="Leave out --start identity: replacing always starts like the paper.",
        )
    if plan.start == "auto":
        return "identity" if has_weights and not replaced else "paper"
    return plan.start


@dataclass(frozen=True)
class _Tried:
    """Why a module cannot be built for a number of channels and a size of the map, or how it acts."""

    refusal: str = ""
    is_spatial: bool = True


_TRIED: dict[Hashable, _Tried] = {}


def decide(model: nn.Module, findings: Findings, plan: Plan, *, start: str) -> Decision:
    """Choose for each selected site what is written in and how.

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
            f"The paper's places are not in this model: {'; '.join(map(note, plan.attention))}.",
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
    stem, enlarged = decide_stem(findings.recording, plan.attention[0]) if plan.stem else ((), ())
    completed = tuple(_with_removed(model, edit) for edit in (*stem, *edits))
    return Decision(completed, tuple(skipped), enlarged)


def _require_use(plan: Plan, selected: Sequence[FoundSite]) -> None:
    """Refuse a spec that an earlier one leaves nothing to serve."""
    used = {id(plan.spec_for(f.site.name)) for f in selected}
    for spec in plan.attention:
        if id(spec) not in used:
            raise UsageError(
                f"{spec} serves no site: an earlier --attn serves them all.",
                hint=f"Give the earlier one a glob, for example --attn 'layer4.*=NAME' --attn {spec.name}.",
            )


def _with_removed(model: nn.Module, edit: Edit) -> Edit:
    """A replacing edit with the state-dict keys that go."""
    if not edit.replaces:
        return edit
    return dataclasses.replace(edit, removed=tuple(model.get_submodule(edit.name).state_dict()))


def _decide_one(
    model: nn.Module, findings: Findings, item: Assignment, start: str
) -> Sequence[Edit | Rejection]:
    """The edits at one site, and the reasons for what cannot be edited."""
    found, placement = item.found, item.placement
    if placement == "replace-conv":
        return [
            target if isinstance(target, Rejection) else _in_place_of(model, target, item)
            for target in convolutions(found, findings.recording)
        ]
    tap: Tap | str = _tap(found, placement, findings.recording)
    name = found.site.name if isinstance(tap, str) else tap.module or found.site.name
    block = model.get_submodule(name)
    tap = refusal(block) or tap
    layout = tap if isinstance(tap, str) else _layout_at(tap, found, findings)
    if isinstance(tap, str) or isinstance(layout, str):
        return [Rejection(name=found.site.name, reason=str(layout))]
    resolved = resolve(item.spec, layout.channels)
    if reason := _misfit(resolved, layout, found):
        return [Rejection(name=found.site.name, reason=reason)]
    edit = Edit(
        name=name,
        module=free_name(block),
        attention=resolved.entry.name,
        options=dict(resolved.options),
        placement=placement,
        start=start,
        layout=layout.name,
        channels=layout.channels,
        height=layout.height,
        width=layout.width,
        prefix=layout.prefix,
        shape=tap.shape,
        element=found.site.element if tap.node is None else None,
        tap=tap.node,
        users=tap.users,
        specialized=dict(tap.specialized),
        block=found.site.block,
        stage=found.site.stage,
        calls=found.site.calls,
        note=resolved.note,
    )
    return [edit]


def _in_place_of(model: nn.Module, target: Target, item: Assignment) -> Edit | Rejection:
    """The edit that puts attention in a convolution's place."""
    conv = model.get_submodule(target.name)
    _, channels, height, width = target.shape
    resolved = resolve(item.spec, channels)
    layout = Layout("NCHW", channels, height, width)
    if reason := refusal(conv) or _misfit(resolved, layout, item.found):
        return Rejection(name=target.name, reason=reason)
    return Edit(
        name=target.name,
        module=free_name(conv),
        attention=resolved.entry.name,
        options=dict(resolved.options),
        placement="replace-conv",
        start="paper",
        layout="NCHW",
        channels=channels,
        height=height,
        width=width,
        shape=target.shape,
        block=type(target.module).__name__,
        stage=item.found.site.stage,
        calls=target.calls,
        stride=target.stride,
        note="; ".join(filter(None, (resolved.note, target.note))),
    )


def _tap(found: FoundSite, placement: str, recording: Recording) -> Tap | str:
    """What a module acts on, or the reason why it cannot."""
    if placement == "replace-attention":
        return _no_replacement(found) or Tap(found.shape)
    return Tap(found.shape) if placement == "after" else find_tap(found, placement, recording)


def _no_replacement(found: FoundSite) -> str | None:
    """Why attention cannot stand for a module, or None if it can."""
    tensors = [tensor for _, tensor in tensors_of([*found.call.args, *found.call.kwargs.values()])]
    if len(tensors) != 1 or found.site.element is not None:
        return "it takes or returns more than one tensor"
    if tuple(tensors[0].shape) != found.shape:
        return f"it maps {tuple(tensors[0].shape)} to {found.shape}, and attention keeps the shape"
    return None


def _layout_at(tap: Tap, found: FoundSite, findings: Findings) -> Layout | str:
    """The layout of the tapped tensor: the block's own, unless the tap is inside."""
    site = found.site
    if tap.node is None:
        return Layout(site.layout, site.channels, site.height, site.width, site.prefix)
    made = found.addition.node if found.addition else dict(found.call.output_nodes).get(site.element)
    if made is None:
        return "its recorded run does not show what made its output"
    return layouts.infer(tap.shape, made, findings.recording, found.call)


def _misfit(resolved: Resolved, layout: Layout, found: FoundSite) -> str | None:
    """Why a module cannot act on a tensor of this layout, or None if it can."""
    no_grid = "its tokens form no grid, and this module needs one"
    if layout.height is None and needs_size(registry.load(resolved.entry)):
        return no_grid
    size = None if layout.height is None or layout.width is None else (layout.height, layout.width)
    tried = _tried(resolved, layout.channels, size)
    if tried.refusal:
        return tried.refusal
    if layout.height is None and tried.is_spatial:
        return no_grid
    if tried.is_spatial and not found.grid_is_read:
        return "nothing reads the tokens of its grid afterwards, so a spatial module would have no effect"
    return None


def _tried(resolved: Resolved, channels: int, size: tuple[int, int] | None) -> _Tried:
    """What building the module shows; the sites of a model are of few kinds, so each is tried once."""
    key = (registry.load(resolved.entry), tuple(resolved.options.items()), channels, size)
    if key not in _TRIED:
        try:
            with torch.device("meta"):
                module = build(resolved, channels=channels, size=size)
        except FitError as error:
            _TRIED[key] = _Tried(refusal=error.message.rstrip("."))
        else:
            # The class does not tell, since an option may turn a channel gate into a spatial one.
            _TRIED[key] = _Tried(is_spatial=getattr(module, "acts_on", "spatial") != "channel")
    return _TRIED[key]


def notes_of(plan: Plan, decision: Decision) -> tuple[str, ...]:
    """What a person has to know about a decision: where papers put modules, and what is replaced."""
    notes = []
    if plan.placement == "paper":
        notes += [f"the paper's place of {note(spec)}." for spec in plan.attention]
    if keys := decision.removed_keys:
        gone = sum(edit.replaces for edit in decision.edits)
        more = f" and {len(keys) - 3} more (--json lists all)" if len(keys) > 3 else ""
        notes.append(f"{gone} modules are replaced; their keys go: {', '.join(keys[:3])}{more}.")
    return tuple(notes)
