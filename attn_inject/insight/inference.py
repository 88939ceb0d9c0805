"""A classifier on batches of images: its probabilities, and how far two sets of them are apart.

Legend: N images, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from attn_inject.errors import ModelError


@dataclass
class Clock:
    """Seconds by what they were spent on."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, what: str, began: float) -> None:
        """Add the time since `began`, a reading of `time.perf_counter`."""
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - began


@torch.no_grad()
def logarithms(
    model: nn.Module, batches: Sequence[torch.Tensor], clock: Clock | None = None, what: str = ""
) -> torch.Tensor:
    """The logarithm of each class' probability on each image, (N, K), on the CPU.

    Args:
        model: A classifier; in evaluation mode.
        batches: (n, 3, H, W) each, on its device.
        clock: Receives how long it took, under the name `what`.
        what: What this run is for.

    Raises:
        ModelError: The model refuses the images, or does not return (n, K).
    """
    found = []
    began = time.perf_counter()
    for batch in batches:
        output = called(model, batch)
        found.append(output.float().log_softmax(1).cpu())
    if clock is not None:
        clock.add(what, began)
    return torch.cat(found)


def called(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """A classifier's output on a batch, (n, K).

    Raises:
        ModelError: The model refuses the images, or returns something else.
    """
    try:
        output = model(batch)
    # Whatever a model of others raises is told with the images' shape.
    except Exception as error:
        raise ModelError(
            f"The model refuses images of shape {tuple(batch.shape)}: {type(error).__name__}: {error}",
            hint="Give the size that it was built for, --size N.",
        ) from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(
            f"The model returns {shape}, and a classifier returns (images, classes).",
            hint="look and prune run classifiers only.",
        )
    return output


def agreement(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Share of the images with the same most likely class, for (N, K) and (N, K)."""
    return float((ours.argmax(1) == theirs.argmax(1)).float().mean())


def divergence(whole: torch.Tensor, changed: torch.Tensor) -> float:
    """Mean Kullback-Leibler divergence of `changed` from `whole`, log-probabilities (N, K), in nats."""
    whole, changed = whole.double(), changed.double()
    # A class that is impossible adds nothing, where its logarithm would give 0 * infinity.
    each = torch.where(whole.exp() > 0, whole.exp() * (whole - changed), 0.0).sum(1)
    return max(0.0, float(each.mean()))


Progress = Callable[[str], None]
