"""Running the checks in order and collecting what they say; deciding is left to the caller."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import nn

from attn_inject.checks.forward import run
from attn_inject.checks.generic import generic_position
from attn_inject.checks.gradients import check_gradients
from attn_inject.checks.outputs import check_calls, check_identity, check_modes, check_shapes, count_calls
from attn_inject.checks.structure import check_structure
from attn_inject.checks.witness import Witness
from attn_inject.inputs import InputSpec
from attn_inject.outcome import Check


def run_checks(
    model: nn.Module,
    inputs: InputSpec,
    before: Witness,
    *,
    calls: Mapping[str, int],
    identity: bool,
    full: bool,
    removed: Collection[str] = (),
) -> tuple[Check, ...]:
    """Check an operated model against what the untouched one was.

    Args:
        model: The operated model; it is as before afterwards.
        inputs: How to call it.
        before: What `witness` noted of the untouched model.
        calls: How often each inserted module must run in one forward.
        identity: Whether the start is the identity.
        full: Whether to check gradients and modes too.
        removed: State-dict keys of replaced modules.
    """
    seed = before.seed
    checks = [*check_structure(model, before, removed)]
    with generic_position(model, seed):
        output, counted = count_calls(model, inputs, seed=seed, grad=full)
        checks.append(check_shapes(output, before, detects=inputs.training_example is not None))
        checks.append(check_calls(counted, calls))
        if identity:
            checks.append(check_identity("identity in eval()", output, before.evaluation))
        if full:
            checks.append(check_gradients(output, model, inputs, seed=seed))
            del output
            training = run(model, inputs, seed=seed, training=True)
            if identity:
                checks.append(check_identity("identity in train()", training, before.training))
            checks.append(check_modes(model, inputs, training, seed=seed, other_seed=before.other_seed))
    return tuple(checks)
