"""One edit of one block, decided before anything is touched: what a recipe keeps and what surgery replays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Where one attention module goes and how it is made; plain data only.

    Attributes:
        name: The block's qualified name in the model, `layer3.5`; with `replace-*` the replaced module's.
        module: The inserted child's own name in the block, `attn_inject`.
        attention: A registry name, or `package.module:Class`.
        options: The constructor's options as they were used, after adapting them to the site.
        placement: A key of `plan.PLACEMENTS` other than `paper`, or `stem` and `stem-pool`.
        start: `identity` or `paper`.
        layout: `NCHW`, `NHWC`, `NLC`, `NCDHW` or `NDHWC`, at the tapped point.
        channels: C at the tapped point.
        height: Rows of the map, in positions; None for tokens without a grid.
        width: Columns of the map, in positions; None for tokens without a grid.
        prefix: Class, register and distillation tokens before the grid (NLC only).
        shape: Of the tapped tensor in the recorded run of one sample.
        element: Which element of a tuple or dictionary is acted on; None if the value is a tensor.
        tap: The fx node whose value is taken (inner placements), or None.
        users: The fx nodes whose use of the tap is replaced; empty means all.
        specialized: Arguments of the block's forward that its trace is specialised to, and their values.
        block: The block's class name, `Bottleneck`.
        stage: Number of the stage, from 1.
        calls: How often one forward of the model runs this block.
        stride: Of the average pool behind attention that stands for a convolution with that stride.
        removed: State-dict keys below `name` that the replaced module had (`replace-*` only).
        note: What was adapted for this site, or "".
        operation: Which operation on the model it belongs to, from 0.
    """

    name: str
    module: str
    attention: str
    options: Mapping[str, Any] = field(default_factory=dict)
    placement: str
    start: str
    layout: str
    channels: int
    height: int | None
    width: int | None
    prefix: int = 0
    shape: tuple[int, ...] = ()
    element: int | str | None = None
    tap: str | None = None
    users: tuple[str, ...] = ()
    specialized: Mapping[str, Any] = field(default_factory=dict, metadata={"key": "fixed"})
    block: str
    stage: int = 1
    calls: int = 1
    stride: int = 1
    removed: tuple[str, ...] = ()
    note: str = ""
    operation: int = 0

    @property
    def path(self) -> str:
        """The inserted module's qualified name, `layer3.5.attn_inject`."""
        return f"{self.name}.{self.module}"

    @property
    def replaces(self) -> bool:
        """Whether the module called `name` is replaced."""
        return self.placement.startswith(("replace-", "stem"))
