"""How far an exported model's outputs are from the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from attn_inject.errors import CheckFailedError

# Relative to the largest output: compilers add in another order, and deep models amplify that.
TOLERANCE = 1e-3
# How much further than the model itself an exported one may be from double precision.
WORSE = 10


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two lists of outputs, compared.

    Attributes:
        samples: How many were run.
        largest: The largest absolute output of the model.
        difference: The largest absolute difference.
        top1: How many samples have the same largest class; None if the output is not (N, classes).
    """

    samples: int
    largest: float
    difference: float
    top1: int | None


def compare(own: Sequence[torch.Tensor], exported: Sequence[torch.Tensor], samples: int) -> Agreement:
    """Compare outputs of the same inputs.

    Raises:
        CheckFailedError: Their number or a shape differs.
    """
    shapes = [tuple(t.shape) for t in own], [tuple(t.shape) for t in exported]
    if shapes[0] != shapes[1]:
        raise CheckFailedError(
            f"The exported model's outputs have the shapes {shapes[1]}, the model's {shapes[0]}.",
            hint="Nothing was saved.",
        )
    pairs = list(zip(own, exported, strict=True))
    is_classes = len(own) == 1 and own[0].ndim == 2
    return Agreement(
        samples=samples,
        largest=max((float(a.abs().max()) for a, _ in pairs if a.numel()), default=0.0),
        difference=max((float((a - b).abs().max()) for a, b in pairs if a.numel()), default=0.0),
        top1=int((own[0].argmax(1) == exported[0].argmax(1)).sum()) if is_classes else None,
    )


def is_close(agreement: Agreement) -> bool:
    """Whether the outputs differ by at most `TOLERANCE` of the largest; never if one is not a number."""
    return agreement.difference <= TOLERANCE * max(1.0, agreement.largest)


def is_as_exact(own: Agreement, exported: Agreement) -> bool:
    """Whether an exported model is about as far from double precision as the model itself is.

    In a badly conditioned model a change of the last bit becomes a visible difference.

    Args:
        own: The model's outputs compared with those in double precision.
        exported: The exported model's outputs, compared with the same.
    """
    return exported.difference <= WORSE * own.difference


def differs(agreement: Agreement) -> CheckFailedError:
    """For an exported model whose outputs differ."""
    return CheckFailedError(
        f"The exported model's outputs differ from the model's by up to {agreement.difference:.3g}, "
        f"and the largest output is {agreement.largest:.3g}.",
        hint="Nothing was saved.",
    )
