"""What one forward costs: the one value that every count, table and report holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one forward of one sample costs.

    Attributes:
        params: Learnable and frozen parameters, in numbers.
        flops: fvcore's count; one multiply-add counts once.
        activations: Elements that convolutions and matrix products write, fvcore's count.
    """

    params: int = 0
    flops: int = 0
    activations: int = 0

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            params=self.params - other.params,
            flops=self.flops - other.flops,
            activations=self.activations - other.activations,
        )

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            params=self.params + other.params,
            flops=self.flops + other.flops,
            activations=self.activations + other.activations,
        )

    def times(self, count: int) -> Cost:
        """The same parameters, run `count` times."""
        return Cost(params=self.params, flops=self.flops * count, activations=self.activations * count)

    def to_json(self) -> dict[str, int]:
        """Keys `params`, `flops`, `activations`."""
        return {"params": self.params, "flops": self.flops, "activations": self.activations}
