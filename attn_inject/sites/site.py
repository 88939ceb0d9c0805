"""Where an attention module can go, and why it cannot go elsewhere: frozen values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Site:
    """One place where an attention module can go, named after its block.

    Attributes:
        name: The block's qualified name in the model, `layer3.5`.
        block: The block's class name, `Bottleneck`.
        layout: `NCHW`, `NHWC`, `NLC`, `NCDHW` or `NDHWC`.
        channels: C of the block's output.
        height: Rows of the map, in positions; None for tokens without a grid.
        width: Columns of the map, in positions; None for tokens without a grid.
        prefix: Class, register and distillation tokens before the grid (NLC only).
        stage: Number of the stage, from 1: one for each size of the map, in order of first appearance.
        calls: How often one forward of the model runs this block.
        element: Which element of a tuple or dictionary output the block's addition made; None if it
            returns a tensor.
    """

    name: str
    block: str
    layout: str
    channels: int
    height: int | None
    width: int | None
    prefix: int = 0
    stage: int = 1
    calls: int = 1
    element: int | str | None = None

    @property
    def map_size(self) -> tuple[int, int] | None:
        """(height, width) in positions; None for tokens without a grid."""
        return None if self.height is None or self.width is None else (self.height, self.width)

    @property
    def size(self) -> str:
        """`56x56`, or `196 tokens` style text for people."""
        return "-" if self.height is None else f"{self.height}x{self.width}"


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A candidate that is no site, or a site that was skipped, with its reason."""

    name: str
    reason: str
