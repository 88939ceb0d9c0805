"""What differs between two models, frozen, and its documented JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from attn_inject.cost.comparison import Comparison
from attn_inject.shown import Shown


@dataclass(frozen=True, kw_only=True)
class InsertedHere:
    """One attention module of a block.

    Attributes:
        module: Its name in the block, `attn_inject`.
        attention: With the options that were used, `sa:groups=32`.
        placement: A key of `request.PLACEMENTS`.
        start: `identity` or `paper`.
    """

    module: str
    attention: str
    placement: str
    start: str


@dataclass(frozen=True, kw_only=True)
class BlockState:
    """A block as one of the two models has it.

    Attributes:
        block: Its own class's name, `Bottleneck`.
        forward: What it computes, as source code.
        base_forward: What `base_forward` in that code is, `timm.models.resnet.BasicBlock.forward`, or "".
        inserted: Its attention modules in their order.
    """

    block: str
    forward: str
    base_forward: str
    inserted: tuple[InsertedHere, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ChangedBlock:
    """A block that is not the same in both models.

    Attributes:
        name: Its qualified name, `layer3.5`.
        a: As the first model has it; None if it has another module there, or none.
        b: As the second one has it.
        added: Keys of the state dict that only the second one has, below the block's name.
        removed: Keys that only the first one has.
    """

    name: str
    a: BlockState | None
    b: BlockState | None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reshaped:
    """A key of the state dict whose tensor has another shape in each model."""

    key: str
    a: tuple[int, ...]
    b: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, repr=False)
class Difference(Shown):
    """Two models: what was inserted where, what their changed blocks compute, and what they cost.

    Values of tensors are not compared.

    Attributes:
        costs: Both models with their costs.
        blocks: The blocks that differ, in the models' order.
        added: Keys of the state dict that only the second model has, the blocks' among them.
        removed: Keys that only the first one has.
        reshaped: Keys of both whose tensors differ in shape.
    """

    costs: Comparison
    blocks: tuple[ChangedBlock, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    reshaped: tuple[Reshaped, ...] = ()

    def __repr__(self) -> str:
        a, b = self.costs.a.model, self.costs.b.model
        keys = f"keys added: {len(self.added)}, removed: {len(self.removed)}"
        return f"<Difference {a} -> {b}: changed blocks: {len(self.blocks)}, {keys}>"

    def to_json(self) -> dict[str, Any]:
        """The document of `diff --json`."""
        costs = self.costs.to_json()
        return {
            **{side: costs[side] for side in ("a", "b", "difference")},
            "blocks": [dataclasses.asdict(block) for block in self.blocks],
            "added": list(self.added),
            "removed": list(self.removed),
            "reshaped": [dataclasses.asdict(item) for item in self.reshaped],
            "versions": dict(self.costs.versions),
        }
