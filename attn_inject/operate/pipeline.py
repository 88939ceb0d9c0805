"""The operation from beginning to end: take a model, find, decide, count, write in, prove.

Every step is a function of another room; here they only follow one another.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from attn_inject import models
from attn_inject.checks.reference import reference_outputs, reference_shapes
from attn_inject.checks.runner import prove_all, prove_structure
from attn_inject.cost.cost import Cost
from attn_inject.cost.count import count
from attn_inject.cost.site_cost import module_cost, with_sites
from attn_inject.errors import CheckFailedError, ModelError, UsageError
from attn_inject.files import formats
from attn_inject.files.loading import load
from attn_inject.files.verified_origin import verified_origin
from attn_inject.models.clone import deep_copy
from attn_inject.models.inputs import InputSpec, as_size
from attn_inject.models.loaded import LoadedModel
from attn_inject.models.randomness import seeded
from attn_inject.request import ModelRequest, Plan, to_dict
from attn_inject.results import Check, Insertion, Report
from attn_inject.sites.recording import Recording
from attn_inject.sites.site import Rejection, Site
from attn_inject.surgery.apply import apply_edits, build_on_meta, spec_label
from attn_inject.surgery.decide import Decision, decide, notes_of, resolve_start, search
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.inserted import AttnInject, operations
from attn_inject.surgery.origin import Origin, attach_origin, origin_of
from attn_inject.surgery.removal import undo

ProgressCallback = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, repr=False)
class Injected:
    """An operated model with everything that was done to it.

    Attributes:
        model: The operated model; after a dry run the untouched one.
        report: What was done, proven and counted.
        edits: The edits, enough to repeat them on an empty copy of the architecture.
        loaded: The model's source, and how to call it.
        plan: What was asked.
    """

    model: nn.Module
    report: Report
    edits: tuple[Edit, ...]
    loaded: LoadedModel
    plan: Plan

    def __repr__(self) -> str:
        """One line; the attributes' own would fill pages."""
        report = self.report
        what = f"{len(report.insertions)} x {', '.join(report.attention)}"
        params = f"{report.base.params:,} parameters became {report.result.params:,}"
        passed = sum(check.passed for check in report.checks)
        return f"<Injected {report.model}: {what}; {params}; {passed} of {len(report.checks)} checks passed>"

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where modules were written in."""
        return tuple(insertion.site for insertion in self.report.insertions)

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """Candidates that are no sites, and sites that were skipped, with reasons."""
        return self.report.rejected

    @property
    def cost(self) -> Cost:
        """What was added."""
        return self.report.delta


def load_model(
    model: nn.Module | str | ModelRequest,
    *,
    shapes_only: bool = False,
    example_input: Any = None,
    input_size: int | Sequence[int] | None = None,
    seed: int = 0,
) -> LoadedModel:
    """A model from a name, a request or an object; an object is taken as it is, not copied.

    Args:
        model: What to take.
        shapes_only: Whether shapes are enough, for planning and counting (names and requests only).
        example_input: A tensor, a tuple of arguments or a dictionary of keywords, where the input
            cannot be guessed.
        input_size: (C, H, W) in pixels; 224 and (224, 224) mean three channels.
        seed: Of the initial weights.

    Raises:
        UsageError: It is none of these.
    """
    _require_model(model)
    size = None if input_size is None else as_size(input_size)
    if isinstance(model, nn.Module):
        return _in_hand(model, example_input, size)
    if isinstance(model, str):
        model = ModelRequest(name=model, input_size=size)
    if is_saved_file(model.name):
        return _reopened(model)
    with seeded(seed):
        return models.load(model, shapes_only=shapes_only)


def _require_model(model: object) -> None:
    """Refuse what people take for a model: its class, its state dict, the path of its file."""
    if isinstance(model, nn.Module | str | ModelRequest):
        return
    hints = {
        type: "Make one of it first, and hand over that.",
        Mapping: "A state dict is no model: load it into one, or give its file, ModelRequest(weights=FILE).",
        os.PathLike: "Write it as text, str(path).",
    }
    what = f"the class {model.__name__}" if isinstance(model, type) else f"one of {type(model).__name__}"
    known = (hint for kind, hint in hints.items() if isinstance(model, kind))
    raise UsageError(
        f"A model is a module, a name or a ModelRequest, and not {what}.",
        hint=next(known, "Hand over one of these."),
    )


def _in_hand(model: nn.Module, example_input: Any, input_size: Sequence[int] | None) -> LoadedModel:
    """An object; one that was operated before knows where it is from."""
    origin = verified_origin(model) if origin_of(model) else None
    if origin is not None and example_input is None and input_size is None:
        input_size = origin.provenance.input_size
    loaded = models.from_object(model, example_input=example_input, input_size=input_size)
    provenance = origin.provenance if origin is not None else loaded.provenance
    # Whoever has a module in hand has weights in it that must not be disturbed.
    return dataclasses.replace(loaded, provenance=provenance, has_weights=True)


def is_saved_file(name: str) -> bool:
    """Whether a model's name is the path of a file."""
    return name.endswith(formats.SUFFIXES) and Path(name).is_file()


def _reopened(request: ModelRequest) -> LoadedModel:
    """A model that was operated before; what built it is in the file."""
    asked = {
        "--weights": request.weights is not None,
        "--pretrained": request.pretrained,
        "--num-classes": request.num_classes is not None,
        "--model-arg": bool(request.model_args),
    }
    if refused := [option for option, given in asked.items() if given]:
        raise UsageError(f"{refused[0]} does not go with a saved file, which holds a complete model.")
    model = load(request.name, trust=request.trust)
    origin = origin_of(model)
    assert origin is not None
    provenance = origin.provenance
    return LoadedModel(
        model=model,
        inputs=InputSpec(request.input_size or provenance.input_size),
        provenance=provenance,
        has_weights=True,
    )


def modify(
    loaded: LoadedModel,
    plan: Plan,
    *,
    name: str,
    dry_run: bool = False,
    progress: ProgressCallback = lambda _: None,
) -> Injected:
    """Carry out a plan on a loaded model, in place.

    Args:
        loaded: The model; after a failed check it is as it was.
        plan: What is asked.
        name: What the user calls the model.
        dry_run: Whether to stop before the model is touched.
        progress: Told what happens next, for a progress display.

    Raises:
        NoSiteError: Nothing matches the plan.
        FitError: Nothing that matches can take its module.
        ModelError: The model does not run.
        CheckFailedError: The operated model failed a check.
    """
    start = resolve_start(plan, has_weights=loaded.has_weights)
    progress("finding residual blocks")
    findings = search(loaded.model, loaded.inputs, plan)
    decision = _numbered(decide(loaded.model, findings, plan, start=start), operations(loaded.model))
    progress("counting cost")
    modules = build_on_meta(decision.edits)
    base = count(loaded.model, loaded.inputs)
    model = loaded.model
    result = with_sites(base, decision.added(model, modules), removed=decision.removed(model))
    checks: tuple[Check, ...] = ()
    if not dry_run:
        earlier = origin_of(loaded.model)
        checks = _write_in(loaded, plan, findings.recording, decision, start, progress)
        asked = to_dict(dataclasses.replace(plan, start=start))
        attach_origin(loaded.model, Origin(loaded.provenance, (*(earlier.plans if earlier else ()), asked)))
    report = Report(
        model=name,
        source=loaded.provenance.source,
        attention=tuple(map(str, plan.attention)),
        placement=plan.placement,
        start=start,
        input_size=loaded.inputs.size,
        insertions=tuple(_insertion(s, m) for s, m in zip(decision.edits, modules, strict=True)),
        rejected=(*decision.skipped, *findings.rejected),
        removed=decision.removed_keys,
        base=base.cost,
        result=result.cost,
        uncounted=result.uncounted,
        checks=checks,
        versions=models.versions(),
        notes=(*loaded.notes, *notes_of(plan, decision)),
    )
    return Injected(model=loaded.model, report=report, edits=decision.edits, loaded=loaded, plan=plan)


def _write_in(
    loaded: LoadedModel,
    plan: Plan,
    recording: Recording,
    decision: Decision,
    start: str,
    progress: ProgressCallback,
) -> tuple[Check, ...]:
    model = loaded.model
    proof = None
    if plan.check != "off":
        progress("noting what the untouched model does")
        proof = _proof(loaded, plan, recording, decision, start)
    progress("writing attention modules in")
    try:
        with seeded(plan.seed):
            apply_edits(model, decision.edits)
        if proof is None:
            return ()
        progress("checking")
        checks = proof()
        require(checks)
    except BaseException:
        undo(model, [s for s in decision.edits if _is_written(model, s)])
        raise
    return checks


def _proof(
    loaded: LoadedModel, plan: Plan, recording: Recording, decision: Decision, start: str
) -> Callable[[], tuple[Check, ...]]:
    """Note the untouched model now; what is returned compares the operated one with it."""
    model, inputs = loaded.model, loaded.inputs
    calls = {s.path: s.site.calls for s in decision.edits}
    removed = decision.removed_keys
    if plan.check == "structure":
        known = reference_shapes(model, recording)
        return lambda: prove_structure(model, inputs, known, calls=calls, removed=removed)
    before = reference_outputs(model, inputs, seed=plan.seed)
    identity = start == "identity"
    return lambda: prove_all(model, inputs, before, calls=calls, identity=identity, removed=removed)


def _is_written(model: nn.Module, edit: Edit) -> bool:
    return edit.module in model.get_submodule(edit.name)._modules


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


def copied(loaded: LoadedModel) -> LoadedModel:
    """The same with a deep copy of the model.

    Raises:
        ModelError: It cannot be copied.
    """
    try:
        return dataclasses.replace(loaded, model=deep_copy(loaded.model))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"The model cannot be copied: {reason:.200}",
            hint="Hand over one that can be, perhaps before its first forward, or edit it with inplace=True.",
        ) from error


def _numbered(decision: Decision, operation: int) -> Decision:
    """The same as the operation of that number."""
    edits = tuple(dataclasses.replace(edit, operation=operation) for edit in decision.edits)
    return dataclasses.replace(decision, edits=edits)


def _insertion(edit: Edit, module: AttnInject) -> Insertion:
    return Insertion(
        site=edit.site,
        attention=spec_label(edit),
        module=edit.path,
        cost=module_cost(module, edit.shape).times(edit.site.calls),
        note=edit.note,
    )
