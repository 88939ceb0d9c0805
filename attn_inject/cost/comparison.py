"""Two models side by side, frozen, and their documented JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_inject.cost.cost import Cost
from attn_inject.shown import Shown


@dataclass(frozen=True, kw_only=True)
class Inserted:
    """One attention module of a model.

    Attributes:
        module: Its qualified name, `layer3.5.attn_inject`.
        attention: With the options that were used, `sa:groups=32`.
        placement: A key of `request.PLACEMENTS`.
        figures: What it costs over all its calls.
    """

    module: str
    attention: str
    placement: str
    figures: Cost


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two models.

    Attributes:
        model: The user's name for it.
        source: Of its architecture: `timm`, `torchvision`, `factory` or `object`.
        figures: What it costs, attention included.
        inserted: Its attention modules.
    """

    model: str
    source: str
    figures: Cost
    inserted: tuple[Inserted, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison(Shown):
    """Two models, and the difference of their costs.

    Attributes:
        a: The first.
        b: The second.
        versions: Of the libraries.
    """

    a: Side
    b: Side
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def difference(self) -> Cost:
        """The second minus the first."""
        return self.b.figures - self.a.figures

    def sites(self) -> list[tuple[str, Inserted | None, Inserted | None]]:
        """Every inserted module of either model, by name, with the modules of both there."""
        first = {item.module: item for item in self.a.inserted}
        second = {item.module: item for item in self.b.inserted}
        return [(name, first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second])]

    def to_json(self) -> dict[str, Any]:
        """The document of `stats --compare --json`."""
        return {
            "a": _side(self.a),
            "b": _side(self.b),
            "difference": dataclasses.asdict(self.difference),
            "sites": [{"module": name, "a": _one(a), "b": _one(b)} for name, a, b in self.sites()],
            "versions": dict(self.versions),
        }


def _side(side: Side) -> dict[str, Any]:
    return {"model": side.model, "source": side.source, **dataclasses.asdict(side.figures)}


def _one(inserted: Inserted | None) -> dict[str, Any] | None:
    if inserted is None:
        return None
    return {
        "attention": inserted.attention,
        "placement": inserted.placement,
        **dataclasses.asdict(inserted.figures),
    }
