"""From a plan to edits: for each site the module, its options and its tap, or the reason for a skip.

Deciding and editing are apart: what `decide` returns can be printed, saved and replayed by `splice.apply`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from attn_inject import registry
from attn_inject.attention.contract import needs_size
from attn_inject.attention.factory import Resolved, build, resolve
from attn_inject.blocks import layout as layouts
from attn_inject.blocks.findings import Findings, Found
from attn_inject.blocks.layout import Layout
from attn_inject.blocks.selection import select
from attn_inject.errors import FitError, UsageError
from attn_inject.outcome import Rejection
from attn_inject.plan import AttentionSpec, Plan
from attn_inject.surgery.edit import Splice
from attn_inject.surgery.placements import Tap, find_tap
from attn_inject.surgery.splice import free_name, refusal


@dataclass(frozen=True)
class Decision:
    """What will be done.

    Attributes:
        splices: One edit per site.
        skipped: Selected sites that cannot take their module, with reasons.
    """

    splices: tuple[Splice, ...]
    skipped: tuple[Rejection, ...]


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
    splices: list[Splice] = []
    skipped: list[Rejection] = []
    selected = select(findings, plan)
    _require_use(plan, selected)
    for found in selected:
        spec = next(spec for spec in plan.attention if spec.serves(found.site.name))
        outcome = _decide_one(model, findings, found, spec, plan.placement, start)
        if isinstance(outcome, Splice):
            splices.append(outcome)
        elif plan.strict:
            raise FitError(
                f"{found.site.name} cannot take {spec}: {outcome}.", hint="Leave out --strict to skip it."
            )
        else:
            skipped.append(Rejection(name=found.site.name, reason=outcome))
    if not splices:
        first = skipped[0]
        raise FitError(
            f"None of the {len(skipped)} selected sites can take the module with --placement "
            f"{plan.placement}; {first.name}, for one: {first.reason}.",
            hint="Another --placement or another module may fit; `attn-inject sites MODEL` shows the sites.",
        )
    return Decision(tuple(splices), tuple(skipped))


def _require_use(plan: Plan, selected: Sequence[Found]) -> None:
    """Refuse a spec that an earlier one leaves nothing to serve."""
    used = {id(next(spec for spec in plan.attention if spec.serves(f.site.name))) for f in selected}
    for spec in plan.attention:
        if id(spec) not in used:
            raise UsageError(
                f"{spec} serves no site: an earlier --attn serves them all.",
                hint=f"Give the earlier one a glob, for example --attn 'layer4.*=NAME' --attn {spec.name}.",
            )


def _decide_one(
    model: nn.Module, findings: Findings, found: Found, spec: AttentionSpec, placement: str, start: str
) -> Splice | str:
    site = found.site
    block = model.get_submodule(site.name)
    if reason := refusal(block):
        return reason
    tap = Tap(found.shape) if placement == "after" else find_tap(found, placement)
    if isinstance(tap, str):
        return tap
    layout = _layout_at(tap, found, findings)
    if isinstance(layout, str):
        return layout
    resolved = resolve(spec, layout.channels)
    if reason := _misfit(resolved, layout, found):
        return reason
    return Splice(
        name=site.name,
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
        element=site.element if tap.node is None else None,
        tap=tap.node,
        users=tap.users,
        fixed=dict(tap.fixed),
        block=site.block,
        stage=site.stage,
        calls=site.calls,
        note=resolved.note,
    )


def _layout_at(tap: Tap, found: Found, findings: Findings) -> Layout | str:
    """The layout of the tapped tensor: the block's own, unless the tap is inside."""
    site = found.site
    if tap.node is None:
        return Layout(site.layout, site.channels, site.height, site.width, site.prefix)
    made = found.addition.node if found.addition else dict(found.frame.output_nodes).get(site.element)
    if made is None:
        return "its recorded run does not show what made its output"
    return layouts.infer(tap.shape, made, findings.recording, found.frame)


def _misfit(resolved: Resolved, layout: Layout, found: Found) -> str | None:
    """Why a module cannot act on a tensor of this layout, or None if it can."""
    no_grid = "its tokens form no grid, and this module needs one"
    if layout.height is None and needs_size(registry.load(resolved.entry)):
        return no_grid
    size = None if layout.height is None or layout.width is None else (layout.height, layout.width)
    try:
        with torch.device("meta"):
            module = build(resolved, channels=layout.channels, size=size)
    except FitError as error:
        return error.message.rstrip(".")
    # The class does not tell, since an option may turn a channel gate into a spatial one.
    spatial = getattr(module, "acts_on", "spatial") != "channel"
    if layout.height is None and spatial:
        return no_grid
    if spatial and not found.grid_is_read:
        return "nothing reads the tokens of its grid afterwards, so a spatial module would have no effect"
    return None
