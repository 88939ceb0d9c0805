"""Runs the checks in order and collects their results; the caller decides what follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import torch
from torch import nn

from attn_inject.checks.forward import equal, largest_difference, run
from attn_inject.checks.generic_position import generic_position
from attn_inject.checks.gradients import check_gradients
from attn_inject.checks.outputs import (
    check_calls,
    check_finite,
    check_identity,
    check_modes,
    check_shapes,
    count_calls,
)
from attn_inject.checks.reference import ReferenceOutputs, ReferenceShapes, recorded_shapes
from attn_inject.checks.structure import check_structure
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
    seed = before.seed
    checks = [*check_structure(model, before.digests, removed)]
    with generic_position(model, seed):
        output, counted = count_calls(model, inputs, seed=seed)
        checks.append(_check_output(output, before, detects=inputs.training_example is not None))
        checks.append(check_calls(counted, calls))
        if identity:
            checks.append(check_identity("identity in eval()", output, before.evaluation))
        checks.append(check_gradients(output, model, inputs, seed=seed))
        del output
        # Before a run in training mode moves the statistics of the norms.
        if not identity and not any(map(stands_for_another, named_modules(model, calls).values())):
            checks.append(check_bypass(model, inputs, before, calls))
        training = run(model, inputs, seed=seed, training=True)
        if identity:
            checks.append(check_identity("identity in train()", training, before.training))
        checks.append(check_modes(model, inputs, training, seed=seed, other_seed=before.other_seed))
    return tuple(checks)


def check_bypass(
    model: nn.Module, inputs: InputSpec, before: ReferenceOutputs, names: Collection[str]
) -> Check:
    """With every inserted module passed by, the model is the base, bit for bit, in both modes.

    A model whose two runs differ by themselves (it moves a buffer that it reads) cannot be compared so, and
    the check says it.
    """
    name = "bypass"
    for training, expected in ((False, before.evaluation), (True, before.training)):
        with bypassed(model, names):
            # The reference was recorded with a graph; without one torch computes encoders in another way.
            first = run(model, inputs, seed=before.seed, training=training, grad=not training)
            if equal(first, expected):
                continue
            again = run(model, inputs, seed=before.seed, training=training, grad=not training)
        if equal(first, again):
            mode = "train()" if training else "eval()"
            differs = f"differs from the base by {largest_difference(first, expected):.3g} in {mode}"
            return Check(name=name, passed=False, detail=f"without what was inserted it {differs}")
        return Check(name=name, passed=True, detail="two runs of the model differ by themselves")
    return Check(name=name, passed=True, detail="without what was inserted, bit-equal to the base")


def _check_output(output: tuple[torch.Tensor, ...], before: ReferenceOutputs, *, detects: bool) -> Check:
    shapes, expected = ([tuple(t.shape) for t in tensors] for tensors in (output, before.evaluation))
    return check_finite(check_shapes(shapes, expected, detects=detects), output, before.evaluation)
