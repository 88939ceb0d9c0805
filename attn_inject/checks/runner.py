"""Runs the checks in order and collects their results; the caller decides what follows."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from torch import nn

from attn_inject.checks.forward import Tensors
from attn_inject.checks.generic_position import generic_position
from attn_inject.checks.gradients import Gradients, check_base_gradients, gradients_of
from attn_inject.checks.learning import check_learning
from attn_inject.checks.modes import modes_of
from attn_inject.checks.outputs import (
    Calls,
    check_calls,
    check_finite,
    check_growth,
    check_modes,
    check_same,
    check_shapes,
    run_and_count,
)
from attn_inject.checks.reference import ReferenceOutputs, ReferenceShapes, recorded_shapes
from attn_inject.checks.state import ModelState
from attn_inject.checks.structure import check_structure
from attn_inject.checks.trial import Trial
from attn_inject.models.inputs import InputSpec
from attn_inject.results import Check
from attn_inject.sites.recording import record
from attn_inject.surgery.bypass import bypassed, named_modules, stands_for_another


def prove_structure(
    model: nn.Module,
    inputs: InputSpec,
    before: ReferenceShapes,
    *,
    calls: Mapping[str, int],
    removed: Collection[str] = (),
) -> tuple[Check, ...]:
    """The checks that compute nothing: keys, tensors, output shapes and calls.

    Args:
        model: The modified model.
        inputs: How to call it.
        before: What `reference_shapes` recorded of the untouched model.
        calls: How often each inserted module must run in one forward.
        removed: State-dict keys of replaced modules.

    Raises:
        ModelError: The modified model does not run.
    """
    recording = record(model, inputs)
    counted = Counter(call.name for call in recording.calls)
    return (
        *check_structure(model, before.digests, removed),
        check_shapes(recorded_shapes(recording), before.shapes, detects=inputs.training_example is not None),
        check_calls(counted, calls),
    )


def prove_all(
    model: nn.Module,
    inputs: InputSpec,
    before: ReferenceOutputs,
    *,
    calls: Mapping[str, int],
    identity: bool,
    removed: Collection[str] = (),
) -> tuple[Check, ...]:
    """Structure, outputs, gradients and modes, with values.

    Args:
        model: The modified model; it is restored afterwards.
        inputs: How to call it.
        before: What `reference_outputs` recorded of the untouched model.
        calls: How often each inserted module must run in one forward.
        identity: Whether the start is the identity.
        removed: State-dict keys of replaced modules.

    Raises:
        ModelError: The modified model does not run.
    """
    seed, modes = before.seed, modes_of(model)
    checks = [*check_structure(model, before.digests, removed)]
    with generic_position(model, seed) as state:
        trial = Trial(model, inputs, state, seed)
        outputs: dict[bool, Tensors] = {}
        ran: dict[bool, Calls] = {}
        found = Gradients()
        for training in (False, True):
            outputs[training], ran[training] = run_and_count(trial, training=training)
            if training is trial.learns_in_training:
                found = gradients_of(outputs[training], model)
                outputs[training] = tuple(tensor.detach() for tensor in outputs[training])
        finite = _check_output(outputs[False], before, detects=trial.learns_in_training)
        cut_off = ran[trial.learns_in_training].without_graph
        checks += (
            finite if finite.passed or identity else check_growth(finite, trial),
            check_calls(ran[False].counts, calls),
            check_learning(model, found, before.gradients, cut_off, seed=seed),
        )
        if identity:
            checks += check_identity(trial, outputs, found, before)
        elif not any(map(stands_for_another, named_modules(model, calls).values())):
            checks.append(check_bypass(trial, before, calls))
        checks.append(check_modes(trial, outputs[True], modes, before))
    return tuple(checks)


def check_identity(
    trial: Trial, outputs: Mapping[bool, Tensors], found: Gradients, before: ReferenceOutputs
) -> Iterator[Check]:
    """At the identity start outputs and gradients are those of the base.

    Args:
        trial: The modified model.
        outputs: What it returned, by whether it was in training mode.
        found: Its gradients.
        before: The untouched model.
    """
    yield check_same("identity in eval()", outputs[False], before.evaluation, "bit-equal to the base")
    yield check_same("identity in train()", outputs[True], before.training, "bit-equal to the base")
    if all((*before.evaluation.repeats, *before.training.repeats)):
        yield check_base_gradients(found, lambda: _gradients(trial), before.gradients)


def _gradients(trial: Trial) -> Gradients:
    return gradients_of(trial.run(training=trial.learns_in_training), trial.model)


def check_bypass(trial: Trial, before: ReferenceOutputs, names: Collection[str]) -> Check:
    """With every inserted module bypassed, the model is the base, bit for bit, in both modes."""
    detail = "without what was inserted, bit-equal to the base"
    trial.state.restore()
    with bypassed(trial.model, names):
        without = dataclasses.replace(trial, state=ModelState(trial.model))
        for training, expected in ((False, before.evaluation), (True, before.training)):
            check = check_same("bypass", without.run(training=training), expected, detail)
            if not check.passed:
                mode = "train()" if training else "eval()"
                failed = f"without what was inserted, the output in {mode} {check.detail}"
                return Check(name="bypass", passed=False, detail=failed)
    return check


def _check_output(output: Tensors, before: ReferenceOutputs, *, detects: bool) -> Check:
    shapes, expected = ([tuple(t.shape) for t in tensors] for tensors in (output, before.evaluation.tensors))
    return check_finite(check_shapes(shapes, expected, detects=detects), output, before.evaluation.tensors)
