"""What was done: frozen values, and the documented JSON made from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_inject.cost.cost import Cost
from attn_inject.shown import Shown
from attn_inject.sites.site import Rejection, Site
from attn_inject.weights import WeightsOrigin


@dataclass(frozen=True, kw_only=True)
class Insertion:
    """One attention module that was inserted.

    Attributes:
        site: The site, with layout, channels and size of the tensor that the module acts on.
        attention: The module with the options that were used, `sa:groups=32`.
        module: The inserted module's own qualified name, `layer3.5.attn_inject`.
        cost: Of this module, over all calls of its block in one forward.
        note: What was adapted for this site ("groups=64 does not fit 24 channels: groups=12 used"), or "".
    """

    site: Site
    attention: str
    module: str
    cost: Cost = field(default_factory=Cost)
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The documented keys of one entry of `sites`."""
        return {
            "name": self.site.name,
            "attention": self.attention,
            "layout": self.site.layout,
            "channels": self.site.channels,
            "height": self.site.height,
            "width": self.site.width,
            "params": self.cost.params,
            "flops": self.cost.flops,
        }


@dataclass(frozen=True, kw_only=True)
class InsertedStatus:
    """The state of one inserted module of a live model.

    Attributes:
        site: The name of the block that holds it.
        attention: The module with the options that were used, `sa:groups=32`.
        placement: A key of `request.PLACEMENTS`.
        alpha: Its `alpha`, 0 at the identity start; None with the paper start, which has none.
        params: Its parameters, in numbers.
        learning: How many of them are trainable.
        training: Whether it is in training mode.
        bypassed: Whether it returns its input unchanged.
    """

    site: str
    attention: str
    placement: str
    alpha: float | None
    params: int
    learning: int
    training: bool
    bypassed: bool


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check and its result."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Report(Shown):
    """Everything about an injection; `to_json` is the documented interface.

    Attributes:
        model: The name that the user gave.
        source: `timm`, `torchvision`, `factory`, `file` or `object`.
        attention: The specs as text.
        placement: As in the plan.
        start: `identity` or `paper`, resolved.
        input_size: (channels, height, width) in pixels of the model's input.
        insertions: What was inserted.
        rejected: Candidates that are not sites, and sites that were skipped.
        removed: State-dict keys of replaced modules, which are removed.
        base: Cost of the untouched model.
        result: Cost of the modified model.
        uncounted: Operations that fvcore has no rule for, with how often they ran.
        uncountable: Why flops and activations of the model are not known, or "".
        checks: The checks and their results.
        file: Where the model was saved, or None.
        versions: Of torch, torchvision, timm, fvcore and attn-inject.
        weights: Where the base's weights are from, or None if an older version's file does not say.
        notes: Sentences for people: ambiguity of the name, unmatched weights.
    """

    model: str
    source: str
    attention: tuple[str, ...]
    placement: str
    start: str
    input_size: tuple[int, ...] | None
    insertions: tuple[Insertion, ...]
    rejected: tuple[Rejection, ...]
    removed: tuple[str, ...] = ()
    base: Cost = field(default_factory=Cost)
    result: Cost = field(default_factory=Cost)
    uncounted: Mapping[str, int] = field(default_factory=dict)
    uncountable: str = ""
    checks: tuple[Check, ...] = ()
    file: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    weights: WeightsOrigin | None = None
    notes: tuple[str, ...] = ()

    @property
    def delta(self) -> Cost:
        """Result minus base."""
        return self.result - self.base

    def _whole(self, cost: Cost) -> dict[str, Any]:
        """The cost of a whole model; null where it is not known."""
        known = cost.to_json()
        return dict.fromkeys(known) | {"params": cost.params} if self.uncountable else known

    def to_json(self) -> dict[str, Any]:
        """The document of `inject --json`."""
        return {
            "model": self.model,
            "source": self.source,
            "attention": list(self.attention),
            "placement": self.placement,
            "start": self.start,
            "weights": self.weights.to_json() if self.weights else None,
            "input_size": list(self.input_size) if self.input_size else None,
            "sites": [insertion.to_json() for insertion in self.insertions],
            "rejected": [dataclasses.asdict(item) for item in self.rejected],
            "removed": list(self.removed),
            "base": self._whole(self.base),
            "result": self._whole(self.result),
            "delta": self.delta.to_json(),
            "uncounted": dict(self.uncounted),
            "checks": [
                {"name": item.name, "passed": item.passed, "detail": item.detail} for item in self.checks
            ],
            "file": self.file,
            "versions": dict(self.versions),
        }
