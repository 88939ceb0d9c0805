"""What one forward costs: the value in every count, table and report."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one forward of one sample costs.

    Attributes:
        params: Learnable and frozen parameters, in numbers.
        flops: fvcore's count; one multiply-add counts once.
        activations: Elements of the outputs of convolutions and matrix products, fvcore's count.
        gate_operations: Elementwise operations, which flops do not count: pooling, activation functions,
            norms, gates.
        gate_bytes: Bytes that these read and write, in float32.
    """

    params: int = 0
    flops: int = 0
    activations: int = 0
    gate_operations: int = field(default=0, repr=False)
    gate_bytes: int = field(default=0, repr=False)

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{name: getattr(self, name) + getattr(other, name) for name in QUANTITIES})

    def __sub__(self, other: Cost) -> Cost:
        return Cost(**{name: getattr(self, name) - getattr(other, name) for name in QUANTITIES})

    def times(self, count: int) -> Cost:
        """The same parameters, run `count` times."""
        runs = {name: getattr(self, name) * count for name in QUANTITIES if name != "params"}
        return Cost(params=self.params, **runs)

    @property
    def by_fvcore(self) -> Cost:
        """The same without gates, which fvcore does not count."""
        return Cost(params=self.params, flops=self.flops, activations=self.activations)

    def to_json(self) -> dict[str, int]:
        """Keys `params`, `flops`, `activations`."""
        return {"params": self.params, "flops": self.flops, "activations": self.activations}


QUANTITIES = tuple(quantity.name for quantity in fields(Cost))
