"""What a block computes, as a small graph that can be drawn."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("input", "layer", "sum", "attention", "output")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a block.

    Attributes:
        name: Of the step in its graph, unique there.
        label: What a picture shows, `conv 3x3`.
        kind: One of `KINDS`.
        inputs: The names of the steps whose values it takes, earlier ones.
    """

    name: str
    label: str
    kind: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BlockGraph:
    """The steps of a block in their order; the first is an input, the last the output."""

    title: str
    steps: tuple[Step, ...]
