"""From a recorded run to sites: the outermost residual blocks below the model, and the rejections."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Sequence

from torch import nn

from attn_inject.models.inputs import InputSpec
from attn_inject.sites import layout as layouts
from attn_inject.sites.findings import Findings, FoundSite
from attn_inject.sites.groups import LISTS, groups, layers_of_stack
from attn_inject.sites.lookalikes import (
    between_blocks,
    first_halves,
    is_multi_branch_convolution,
    is_position_encoding,
    is_wrapper,
)
from attn_inject.sites.nodes import ModuleCall, Node
from attn_inject.sites.readers import grid_is_read
from attn_inject.sites.recording import Recording, record
from attn_inject.sites.residual import Addition, Verdict, judge
from attn_inject.sites.selection import match_modules
from attn_inject.sites.site import Reason, Rejection, RejectionCode, Site
from attn_inject.sites.stages import with_stages
from attn_inject.sites.tensors import has_weight, tensors_of

IN_THE_MODEL = Reason(
    RejectionCode.IN_MODEL,
    "it adds to shortcuts in the model's own forward; name the modules between them: at (--at GLOB)",
)
NO_SHORTCUT = Reason(
    RejectionCode.NO_SHORTCUT,
    "it has no shortcut, unlike others of its class; blocks=family (--blocks family) includes it",
)
STACK = Reason(
    RejectionCode.STACK,
    "it adds layer by layer in its own forward: the sites are the last modules of its layers, before they "
    "are added; blocks=outer (--blocks outer) takes it as one",
)
AROUND = Reason(RejectionCode.GROUP, "there are blocks inside it, and blocks=inner takes those")
NOT_RUN = Reason(RejectionCode.NOT_RUN, "did not run")
INNER = Reason(RejectionCode.INNER, "it is part of a residual block")
BETWEEN_BLOCKS = Reason(
    RejectionCode.BETWEEN_BLOCKS, "it belongs to a downsampler or side branch between the blocks"
)
SUMS_BLOCKS = Reason(RejectionCode.SUMS_BLOCKS, "it sums the outputs of other residual blocks")
POSITION_ENCODING = Reason(RejectionCode.POSITION_ENCODING, "it is a position-encoding convolution")
FIRST_HALF = Reason(
    RejectionCode.FIRST_HALF, "it is the first half of a block that ends with the next module"
)
REPARAMETERIZED = Reason(RejectionCode.REPARAMETERIZED, "it becomes one convolution after training")
ALONE = Reason(RejectionCode.ALONE, "it is a single multi-branch convolution")
NO_TENSOR = Reason(RejectionCode.NO_TENSOR, "it returns no tensor")
NOT_FLOATING = Reason(RejectionCode.NOT_FLOATING, "it returns no floating-point tensor")


def find(
    model: nn.Module, inputs: InputSpec, *, blocks: str = "residual", at: Sequence[str] = ()
) -> Findings:
    """Find the residual blocks of a model, or the modules that `at` names.

    Args:
        model: Any module; it is left untouched.
        inputs: How to call it.
        blocks: A key of `request.BLOCK_KINDS`.
        at: Globs of module names to take instead of residual blocks.

    Raises:
        ModelError: The model cannot be run.
        NoSiteError: A glob of `at` names no module that ran.
    """
    named = match_modules(model, at)
    recording = record(model, inputs, keep=named)
    calls = _by_name(recording)
    notes: dict[str, str] = {}
    if at:
        chosen: dict[str, Addition | None] = {name: None for name in named if name in calls}
        rejected = [Rejection.of(name, NOT_RUN) for name in named if name not in calls]
    else:
        chosen, rejected, notes = _residual_blocks(recording, calls, blocks)
        if not calls.keys() >= chosen.keys():
            # What stands for a layer of a stack may be a single convolution.
            recording = record(model, inputs, keep=tuple(chosen))
            calls = _by_name(recording)
            chosen, rejected, notes = _residual_blocks(recording, calls, blocks)
        siblings = _siblings(calls, chosen)
        if blocks == "family":
            chosen |= siblings
            rejected = [item for item in rejected if item.name not in siblings]
        else:
            known = {item.name for item in rejected}
            rejected += [Rejection.of(n, NO_SHORTCUT) for n in siblings if n not in known]
    found = []
    for name in sorted(chosen, key=list(calls).index):
        item = _describe(calls[name], chosen[name], recording)
        if isinstance(item, FoundSite):
            found.append(dataclasses.replace(item, note=notes.get(name, "") or _which_map(item)))
        else:
            rejected.append(Rejection.of(name, item))
    rejected += [Rejection.of(name, NOT_RUN) for name in _unused(recording, at)]
    modules = dict(recording.model.named_modules())
    return Findings(recording, tuple(with_stages(found, modules)), tuple(rejected))


def _by_name(recording: Recording) -> dict[str, list[ModuleCall]]:
    calls: dict[str, list[ModuleCall]] = {}
    for call in recording.calls:
        calls.setdefault(call.name, []).append(call)
    return calls


def _unused(recording: Recording, at: Sequence[str]) -> list[str]:
    """The outermost modules with weights that took no part in the run."""
    unused: list[str] = []
    took_part = {
        ".".join(parts[:end])
        for parts in (name.split(".") for name in recording.ran)
        for end in range(len(parts) + 1)
    }
    for name, module in recording.model.named_modules():
        if not at and name not in took_part and not _has_ancestor(name, unused) and has_weight(module):
            unused.append(name)
    return unused


def _residual_blocks(
    recording: Recording, calls: dict[str, list[ModuleCall]], kind: str
) -> tuple[dict[str, Addition | None], list[Rejection], dict[str, str]]:
    """The residual blocks by name, every candidate that is none, and what has to be said of a block."""
    modules = dict(recording.model.named_modules())
    verdicts = _judge_all(recording)
    reasons = {name: reason for name in calls for reason in dict.fromkeys(verdicts[name].reasons)}
    inner = [name for name in calls if name and verdicts[name].additions and not _is_inserted(name)]
    blocks, refused = _own_blocks(inner, calls, verdicts)
    made_of = _made_of_blocks(blocks, modules, kind)
    for name in made_of:
        del blocks[name]
    outermost = {name for name in blocks if not _has_ancestor(name, blocks)}
    refused |= {name: INNER for name in blocks if name not in outermost}
    reasons = {
        name: reason
        for name, reason in reasons.items()
        if not verdicts[name].additions and name not in blocks and not _has_ancestor(name, outermost)
    }
    refused |= made_of
    chosen: dict[str, Addition | None] = {name: _last(verdicts[name]) for name in outermost}
    notes: dict[str, str] = {}
    if not outermost and verdicts[""].additions:
        outermost, refused[""] = {""}, IN_THE_MODEL
    for name in sorted(outermost) if kind != "outer" else ():
        if layers := layers_of_stack(calls[name][0], verdicts[name], modules):
            chosen.pop(name, None)
            refused[name] = STACK
            refused = {key: reason for key, reason in refused.items() if key not in layers}
            chosen |= dict.fromkeys(layers)
            notes |= dict.fromkeys(layers, f"acts on the branch before {name or 'the model'} adds it")
    rejected = [Rejection.of(n or "(model)", r) for n, r in (reasons | refused).items()]
    return chosen, rejected, notes


def _made_of_blocks(blocks: Iterable[str], modules: dict[str, nn.Module], kind: str) -> dict[str, Reason]:
    """The candidates that are not blocks because of those inside them."""
    if kind == "outer":
        return {}
    if kind == "inner":
        names = list(blocks)
        return {n: AROUND for n in names if any(other.startswith(f"{n}.") for other in names)}
    return {
        name: Reason(
            RejectionCode.GROUP,
            f"it is a group of {count} blocks with one shortcut around them; blocks=outer "
            "(--blocks outer) takes it as one",
        )
        for name, count in groups(blocks, modules).items()
    }


def _judge_all(recording: Recording) -> dict[str, Verdict]:
    """A verdict for every module: that of its first call that adds, or of its first."""
    verdicts: dict[str, Verdict] = {}
    residual: set[str] = set()
    # A call is listed when it begins, so in reverse order children come before their parents.
    for call in reversed(recording.calls):
        verdict = judge(call, residual)
        if verdict.additions:
            residual.add(call.name)
        if verdict.additions or not (call.name in verdicts and verdicts[call.name].additions):
            verdicts[call.name] = verdict
    return verdicts


def _own_blocks(
    inner: list[str], calls: dict[str, list[ModuleCall]], verdicts: dict[str, Verdict]
) -> tuple[dict[str, None], dict[str, Reason]]:
    """Names of blocks, and of look-alikes with their reasons."""
    blocks: dict[str, None] = {}
    refused: dict[str, Reason] = {}
    branches: dict[str, None] = {}
    owners: dict[str, ModuleCall] = {}
    plain = [n for n in inner if not is_wrapper(calls[n][0], verdicts[n])]
    apart = set(between_blocks(inner, calls))
    for name in inner:
        call, verdict = calls[name][0], verdicts[name]
        if name in apart or _has_ancestor(name, apart):
            refused[name] = BETWEEN_BLOCKS
        elif all(a.apart for a in verdict.additions) and any(o.startswith(f"{name}.") for o in inner):
            refused[name] = SUMS_BLOCKS
        elif is_multi_branch_convolution(call, verdict):
            branches[name] = None
        elif is_position_encoding(call, verdict):
            refused[name] = POSITION_ENCODING
        elif name not in plain and (owner := _owner(name, calls, inner, plain)):
            blocks[owner] = None
            owners[owner] = calls[owner][0]
            if owner != name:
                refused[name] = INNER
        else:
            blocks[name] = None
    for first in first_halves(owners):
        del blocks[first]
        refused[first] = FIRST_HALF
    repeated = {name: None for name in branches if name.rpartition(".")[0] in _lists(calls)}
    if blocks:
        refused |= dict.fromkeys(branches, REPARAMETERIZED)
        return blocks, refused
    return repeated, refused | {name: ALONE for name in branches if name not in repeated}


def _lists(calls: dict[str, list[ModuleCall]]) -> set[str]:
    return {name for name, calls in calls.items() if isinstance(calls[0].module, LISTS)}


def _is_inserted(name: str) -> bool:
    return any(part.startswith("attn_inject") for part in name.split("."))


def _last(verdict: Verdict) -> Addition | None:
    return verdict.additions[-1] if verdict.additions else None


def _has_ancestor(name: str, names: Container[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:end]) in names for end in range(1, len(parts)))


def _owner(name: str, calls: dict[str, list[ModuleCall]], inner: list[str], plain: list[str]) -> str:
    """The block that a wrapper belongs to: its parent, unless that is a list or a stage; else ""."""
    parent = name.rpartition(".")[0]
    if not parent or parent not in calls or isinstance(calls[parent][0].module, LISTS):
        return ""
    inside = [other for other in inner if other.startswith(f"{parent}.")]
    is_stage = any(other in plain and not _has_ancestor(other, inside) for other in inside)
    return "" if is_stage else parent


def _siblings(
    calls: dict[str, list[ModuleCall]], chosen: dict[str, Addition | None]
) -> dict[str, Addition | None]:
    """Blocks of the same class in the same part of the model that have no shortcut."""
    classes = {type(calls[name][0].module) for name in chosen}
    return {
        name: None
        for name, calls in calls.items()
        if type(calls[0].module) in classes and name not in chosen and not _has_ancestor(name, chosen)
    }


def _describe(calls: list[ModuleCall], addition: Addition | None, recording: Recording) -> FoundSite | Reason:
    call = next((c for c in calls if addition and addition.node in c.nodes), calls[0])
    place = addition.place if addition else None
    tensors = dict(tensors_of(call.output))
    if not tensors:
        return NO_TENSOR
    if place not in tensors:
        place = next(reversed(tensors))
    if not tensors[place].is_floating_point():
        return NOT_FLOATING
    shape = tuple(tensors[place].shape)
    made = dict(call.output_nodes).get(place) or Node("const", "", (), shape, frozenset(), frozenset())
    layout = layouts.infer(shape, made, recording, call, added=addition.node if addition else None)
    if isinstance(layout, Reason):
        return layout
    site = Site(
        name=call.name,
        block=type(call.module).__name__,
        layout=layout.name,
        channels=layout.channels,
        height=layout.height,
        width=layout.width,
        prefix=layout.prefix,
        suffix=layout.suffix,
        source=layout.source,
        calls=len(calls),
        element=place,
        ordered=call.name in recording.ordered,
    )
    return FoundSite(
        site, call, shape, addition, layout.prefix == 0 or grid_is_read(call, place, layout.prefix)
    )


def _which_map(item: FoundSite) -> str:
    """Which of several maps a module that was named by hand returns is acted on."""
    maps = [repr(place) for place, tensor in tensors_of(item.call.output) if tensor.ndim == len(item.shape)]
    if item.addition is not None or len(maps) < 2:
        return ""
    return f"acts on {item.site.element!r} of the {len(maps)} maps that it returns: {', '.join(maps)}"
