"""Runs of one model that can be compared: each starts from the same state, input and random numbers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from attn_inject.checks.forward import Tensors, run
from attn_inject.checks.state import ModelState
from attn_inject.models.inputs import InputSpec


@dataclass(frozen=True)
class Trial:
    """A model in a generic position, and how it is run.

    Attributes:
        model: The model.
        inputs: How to call it.
        state: From which every run starts.
        seed: Of the input, and of everything random in the forward.
    """

    model: nn.Module
    inputs: InputSpec
    state: ModelState
    seed: int

    @property
    def learns_in_training(self) -> bool:
        """Whether gradients are taken in training mode, as of detectors, which have no loss in evaluation.

        In evaluation no norm removes the gradient of a bias.
        """
        return self.inputs.training_example is not None

    def run(self, *, training: bool, forward_seed: int | None = None) -> Tensors:
        """The floating-point tensors of one forward.

        It has a graph in the mode in which gradients are taken, and always so, since torch computes an
        encoder without a graph in another way.

        Args:
            training: Whether to run in training mode.
            forward_seed: Of everything random in the forward, if it differs from `seed`.

        Raises:
            ModelError: The forward fails, or returns nothing that can be compared.
        """
        self.state.restore()
        return run(
            self.model,
            self.inputs,
            seed=self.seed,
            forward_seed=forward_seed,
            training=training,
            batch_size=self._batch_size(training),
            grad=training is self.learns_in_training,
        )

    def _batch_size(self, training: bool) -> int:
        """One sample costs half, but batch norms in training refuse it, and an example stays as it is."""
        return 2 if training or self.inputs.example is not None else 1
