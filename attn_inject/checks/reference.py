"""The untouched model's tensors, outputs and gradients, recorded before the modification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from attn_inject.checks.forward import Tensors, comparable, equal, same
from attn_inject.checks.generic_position import generic_position
from attn_inject.checks.gradients import Gradients, gradients_of
from attn_inject.checks.modes import Modes, modes_of
from attn_inject.checks.trial import Trial
from attn_inject.errors import ModelError
from attn_inject.models.digests import tensor_digests
from attn_inject.models.inputs import InputSpec
from attn_inject.sites.recording import Recording

TRIES = 3


@dataclass(frozen=True)
class ReferenceShapes:
    """The untouched model's tensors and output shapes, found without computing anything.

    Attributes:
        digests: One digest per key of the state dict.
        shapes: Of the floating-point tensors that it returns for one sample.
    """

    digests: Mapping[str, str]
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class RecordedOutput:
    """What the untouched model returned, and what of it a second run gave again.

    Attributes:
        tensors: Its floating-point tensors.
        repeats: For each of them whether another run of the same model returned it, too, bit for bit.
    """

    tensors: Tensors
    repeats: tuple[bool, ...]

    @classmethod
    def of(cls, first: Tensors, second: Tensors) -> RecordedOutput:
        """From two runs of one model on the same input, with the same random numbers."""
        alike = len(first) == len(second)
        repeats = tuple(map(same, first, second)) if alike else (False,) * len(first)
        return cls(tuple(tensor.detach() for tensor in first), repeats)

    def comparable(self, output: Tensors) -> tuple[Tensors, Tensors]:
        """Those tensors of another output that can be compared, and what they are compared with.

        If the other has another number of tensors, all are returned.
        """
        if len(output) != len(self.tensors):
            return output, self.tensors
        chosen = [index for index, repeats in enumerate(self.repeats) if repeats]
        return tuple(output[index] for index in chosen), tuple(self.tensors[index] for index in chosen)


@dataclass(frozen=True)
class ReferenceOutputs:
    """The untouched model, as full checks compare with it.

    Attributes:
        digests: One digest per key of the state dict.
        evaluation: Output in evaluation mode, small parameters randomised.
        training: The same in training mode.
        gradients: Of its parameters.
        modes: Of its modules.
        seed: Of input, randomisation and forward.
        other_seed: Of a forward in training mode with a different output; None if none was found.
    """

    digests: Mapping[str, str]
    evaluation: RecordedOutput
    training: RecordedOutput
    gradients: Gradients
    modes: Modes
    seed: int
    other_seed: int | None = None


def reference_shapes(model: nn.Module, recording: Recording) -> ReferenceShapes:
    """Record a model's tensors and output shapes.

    Args:
        model: The untouched model.
        recording: A recorded run of it.

    Raises:
        ModelError: It has no values, or returns nothing that can be compared.
    """
    return ReferenceShapes(_digests(model), recorded_shapes(recording))


def recorded_shapes(recording: Recording) -> tuple[tuple[int, ...], ...]:
    """The shapes of the floating-point tensors that a model returned in a recorded run.

    Raises:
        ModelError: It returned none.
    """
    return tuple(tuple(tensor.shape) for tensor in comparable(recording.calls[0].output))


def reference_outputs(model: nn.Module, inputs: InputSpec, *, seed: int) -> ReferenceOutputs:
    """Record a model's tensors, outputs and gradients.

    Args:
        model: The untouched model; it is restored afterwards.
        inputs: How to call it.
        seed: Of input, randomisation and forward.

    Raises:
        ModelError: It has no values, does not run, or returns nothing that can be compared.
    """
    digests = _digests(model)
    modes = modes_of(model)
    with generic_position(model, seed) as state:
        trial = Trial(model, inputs, state, seed)
        outputs: dict[bool, RecordedOutput] = {}
        gradients = Gradients()
        for training in (False, True):
            output = trial.run(training=training)
            if training is trial.learns_in_training:
                gradients = gradients_of(output, model)
            outputs[training] = RecordedOutput.of(output, trial.run(training=training))
        other_seed = _other_seed(trial, outputs[True].tensors)
    return ReferenceOutputs(digests, outputs[False], outputs[True], gradients, modes, seed, other_seed)


def _digests(model: nn.Module) -> dict[str, str]:
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ModelError(
            "The model is on the meta device, where it has no values that could be compared.",
            hint="Give it values first (to_empty, load_state_dict), or only plan: dry_run (--dry-run).",
        )
    return tensor_digests(model.state_dict())


def _other_seed(trial: Trial, training: Tensors) -> int | None:
    """A seed with which a forward in training mode differs from the one with the trial's own.

    There is none if nothing random is used, and only few if stochastic depth is rare.
    """
    if not any(_is_random(module) for module in trial.model.modules()):
        return None
    for other in range(trial.seed + 1, trial.seed + 1 + TRIES):
        if not equal(trial.run(training=True, forward_seed=other), training):
            return other
    return None


def _is_random(module: nn.Module) -> bool:
    return any(isinstance(p := getattr(module, key, 0.0), float) and 0 < p < 1 for key in ("p", "drop_prob"))
