"""From a recorded run to sites: the outermost residual blocks below the model, and the rejections."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from torch import nn

from attn_inject.blocks import layout as layouts
from attn_inject.blocks.findings import Findings, Found
from attn_inject.blocks.probe import Frame, Node, Recording, record, tensors_of
from attn_inject.blocks.readers import grid_is_read
from attn_inject.blocks.residual import Addition, Verdict, is_wrapper, judge
from attn_inject.blocks.selection import match_modules
from attn_inject.inputs import InputSpec
from attn_inject.outcome import Rejection, Site

LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def find(
    model: nn.Module, inputs: InputSpec, *, blocks: str = "residual", at: Sequence[str] = ()
) -> Findings:
    """Find the residual blocks of a model, or the modules that `at` names.

    Args:
        model: Any module; it is left untouched.
        inputs: How to call it.
        blocks: `residual`, or `family` to add sibling blocks of the same class without a shortcut.
        at: Globs of module names to take instead of residual blocks.

    Raises:
        ModelError: The model cannot be run.
        NoSiteError: A glob of `at` names no module that ran.
    """
    named = match_modules(model, at)
    recording = record(model, inputs, keep=named)
    calls: dict[str, list[Frame]] = {}
    for frame in recording.frames:
        calls.setdefault(frame.name, []).append(frame)
    if at:
        chosen: dict[str, Addition | None] = {name: None for name in named if name in calls}
        rejected = [Rejection(name=name, reason="did not run") for name in named if name not in calls]
    else:
        chosen, rejected = _residual_blocks(recording, calls)
        if blocks == "family":
            chosen |= _siblings(calls, chosen)
    found = []
    for name in sorted(chosen, key=list(calls).index):
        item = _describe(calls[name], chosen[name], recording)
        if isinstance(item, Found):
            found.append(item)
        else:
            rejected.append(Rejection(name=name, reason=item))
    return Findings(recording, tuple(_with_stages(found)), tuple(rejected))


def _residual_blocks(
    recording: Recording, calls: dict[str, list[Frame]]
) -> tuple[dict[str, Addition | None], list[Rejection]]:
    verdicts = {name: judge(frames[0]) for name, frames in calls.items()}
    inner = {name for name, verdict in verdicts.items() if verdict.additions and name}
    rejected: list[Rejection] = []
    blocks: dict[str, Addition | None] = {}
    for name in inner:
        verdict = verdicts[name]
        if all(a.apart for a in verdict.additions) and any(o.startswith(f"{name}.") for o in inner):
            rejected.append(Rejection(name=name, reason="it sums the outputs of other residual blocks"))
        elif is_wrapper(calls[name][0], verdict) and (owner := _owner(name, calls)):
            blocks.setdefault(owner, _last(verdicts.get(owner)))
            rejected.append(Rejection(name=name, reason="it is part of a residual block"))
        else:
            blocks[name] = _last(verdict)
    outermost = {name for name in blocks if not _has_ancestor(name, blocks)}
    for name in calls:
        if name in blocks and name not in outermost:
            rejected.append(Rejection(name=name, reason="it is part of a residual block"))
        elif name not in blocks and not verdicts[name].additions and not _has_ancestor(name, outermost):
            reasons = Counter(verdicts[name].reasons)
            rejected.extend(Rejection(name=name or "(model)", reason=reason) for reason in reasons)
    return {name: addition for name, addition in blocks.items() if name in outermost}, rejected


def _last(verdict: Verdict | None) -> Addition | None:
    return verdict.additions[-1] if verdict and verdict.additions else None


def _has_ancestor(name: str, names: set[str] | dict[str, Addition | None]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:end]) in names for end in range(1, len(parts)))


def _owner(name: str, calls: dict[str, list[Frame]]) -> str:
    """The block that a wrapper belongs to: its parent module, unless that is a list; "" if it has none."""
    parent = name.rpartition(".")[0]
    if not parent or parent not in calls or isinstance(calls[parent][0].module, LISTS):
        return ""
    return parent


def _siblings(
    calls: dict[str, list[Frame]], chosen: dict[str, Addition | None]
) -> dict[str, Addition | None]:
    """Blocks of the same class in the same part of the model that have no shortcut."""
    classes = {type(calls[name][0].module) for name in chosen}
    return {
        name: None
        for name, frames in calls.items()
        if type(frames[0].module) in classes and name not in chosen and not _has_ancestor(name, chosen)
    }


def _describe(frames: list[Frame], addition: Addition | None, recording: Recording) -> Found | str:
    frame = frames[0]
    place = addition.place if addition else None
    tensors = dict(tensors_of(frame.output))
    if not tensors:
        return "it returns no tensor"
    if place not in tensors:
        place = next(reversed(tensors))
    if not tensors[place].is_floating_point():
        return "it returns no floating-point tensor"
    shape = tuple(tensors[place].shape)
    node = addition.node if addition else dict(frame.output_nodes).get(place)
    node = node or Node("const", "", (), shape, frozenset(), frozenset())
    layout = layouts.infer(shape, node, recording, frame)
    if isinstance(layout, str):
        return layout
    site = Site(
        name=frame.name,
        block=type(frame.module).__name__,
        layout=layout.name,
        channels=layout.channels,
        height=layout.height,
        width=layout.width,
        prefix=layout.prefix,
        calls=len(frames),
        element=place,
    )
    return Found(
        site, frame, shape, addition, layout.prefix == 0 or grid_is_read(recording, frame, layout.prefix)
    )


def _with_stages(found: list[Found]) -> list[Found]:
    """Number the stages: one for each size of the map, in the order in which the sizes first appear."""
    stages: dict[tuple[int | None, int | None], int] = {}
    numbered = []
    for item in found:
        stage = stages.setdefault((item.site.height, item.site.width), len(stages) + 1)
        numbered.append(dataclasses.replace(item, site=dataclasses.replace(item.site, stage=stage)))
    return numbered
