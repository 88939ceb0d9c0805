"""`paper`: the placement of a module's authors.

The catalogue's rows state it for residual networks of four stages, and separately for inverted residual
blocks (MobileNetV2) if the authors chose another one there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from attn_inject.attention import registry
from attn_inject.attention.evidence import evidence_of
from attn_inject.request import REPLACING, AttentionSpec, Plan
from attn_inject.sites.findings import FoundSite


@dataclass(frozen=True)
class Assignment:
    """A site with its module and placement.

    Attributes:
        found: The site.
        spec: The module for it.
        placement: A key of `plan.PLACEMENTS` other than `paper`.
    """

    found: FoundSite
    spec: AttentionSpec
    placement: str


def assign(selected: Sequence[FoundSite], everywhere: Sequence[FoundSite], plan: Plan) -> list[Assignment]:
    """Each selected site with its module and placement, without sites that the authors do not use.

    Args:
        selected: Sites that the plan keeps.
        everywhere: All sites of the model, which determine the last and every second one of a stage.
        plan: What is asked.
    """
    pairs = [(found, plan.spec_for(found.site.name)) for found in selected]
    if plan.placement != "paper":
        return [Assignment(found, spec, plan.placement) for found, spec in pairs]
    assigned = []
    for found, spec in pairs:
        entry = registry.find(spec.name)
        placement = _placement(found.call.module, entry)
        if placement and _is_in_paper(found, everywhere, entry):
            assigned.append(Assignment(found, spec, placement))
    return assigned


def replaces(spec: AttentionSpec, plan: Plan) -> bool:
    """Whether a plan replaces modules."""
    placement = registry.find(spec.name).placement if plan.placement == "paper" else plan.placement
    return placement in REPLACING


def note(spec: AttentionSpec) -> str:
    """What `--placement paper` means for a module, and its source, as a sentence without its end."""
    entry = registry.find(spec.name)
    text = f"{entry.name}: {entry.placement}"
    if entry.inverted:
        text += f" ({entry.inverted} in inverted residual blocks)"
    if entry.stages:
        text += f", in stages {', '.join(map(str, entry.stages))}"
    last = ", the last block of each" + ("" if entry.stages else " stage")
    text += {"last": last, "second": ", every second block"}.get(entry.blocks, "")
    text += f", and every block of stage {', '.join(map(str, entry.whole))}" if entry.whole else ""
    record = evidence_of(entry.target)
    return f"{text} ({record.placement})" if record else text


def _placement(block: nn.Module, entry: registry.Entry) -> str:
    """The authors' placement in a block; "" if they do not use such a block."""
    depthwise = [m for m in block.modules() if isinstance(m, nn.Conv2d) and 1 < m.in_channels == m.groups]
    if not entry.inverted or not depthwise:
        return entry.placement
    first = next(m for m in block.modules() if isinstance(m, nn.Conv2d))
    return entry.inverted if depthwise[0].in_channels > first.in_channels else ""


def _is_in_paper(found: FoundSite, everywhere: Sequence[FoundSite], entry: registry.Entry) -> bool:
    stage = [item.site.name for item in everywhere if item.site.stage == found.site.stage]
    if entry.stages and found.site.stage not in entry.stages:
        return False
    if found.site.stage in entry.whole:
        return True
    at = stage.index(found.site.name)
    return {"last": at == len(stage) - 1, "second": at % 2 == 1}.get(entry.blocks, True)
