"""Which sites were pruned, and what that changed: frozen values, and the documented JSON made from them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from attn_inject.cost.cost import Cost
from attn_inject.cost.figures import Timing
from attn_inject.shown import Shown


@dataclass(frozen=True, kw_only=True)
class Step:
    """One site that was pruned.

    Attributes:
        site: The block that held it, `layer3.5`.
        module: Its qualified name, `layer3.5.attn_inject`.
        contribution: Mean over the images of |y - x| / |x| when it was chosen; None if that was not measured.
        divergence: Of the softmax from that of the unpruned model, without it and all before it, in nats;
            None without images.
        agreement: Share of the images whose most likely class is that of the unpruned model then.
    """

    site: str
    module: str
    contribution: float | None
    divergence: float | None
    agreement: float | None


@dataclass(frozen=True, kw_only=True)
class PruneReport(Shown):
    """What was pruned; `to_json` is the documented interface.

    Attributes:
        model: The name that the user gave.
        bound: What was asked, in words.
        images: How many were run; 0 without images.
        preprocessing: How an image became an input, or "".
        steps: The pruned sites in the order in which they were chosen.
        kept: The sites that stay.
        next: The first site that would have exceeded the bound, and by how much; None if none did.
        before: Cost of the model.
        after: Cost of the pruned model.
        latency: Seconds of both, timed in turn; None if not asked for.
        file: Where the pruned model was saved, or None.
    """

    model: str
    bound: str
    images: int
    preprocessing: str
    steps: tuple[Step, ...]
    kept: tuple[str, ...]
    next: Step | None
    before: Cost
    after: Cost
    latency: tuple[Timing, Timing] | None = None
    file: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The document of `prune --json`."""
        return {
            "model": self.model,
            "bound": self.bound,
            "images": self.images,
            "preprocessing": self.preprocessing,
            "pruned": [dataclasses.asdict(step) for step in self.steps],
            "kept": list(self.kept),
            "next": None if self.next is None else dataclasses.asdict(self.next),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "delta": (self.after - self.before).to_json(),
            "latency": None if self.latency is None else [timing.median for timing in self.latency],
            "file": self.file,
        }
