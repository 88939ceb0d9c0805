"""Limits on what a modified model costs: parameters, flops, activations and latency."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_inject.cost.cost import Cost
from attn_inject.cost.figures import StatsRow
from attn_inject.errors import UsageError, unknown_name
from attn_inject.shown import Shown

COUNTED = ("params", "flops", "activations")
QUANTITIES = (*COUNTED, "latency")
_LIMIT = re.compile(r"(?P<plus>\+?)(?P<number>\d+(\.\d+)?)(?P<unit>%|[kKMGT]|us|ms|s|)")
_SCALES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_TIMES = ("us", "ms", "s")


@dataclass(frozen=True)
class Limit:
    """The most that a quantity may be.

    Attributes:
        text: The limit as typed: `+1%` more than the base, `+200k` more, or `26M` in all.
        share: The most that is added, as a share of the base.
        more: The most that is added.
        total: The most that the modified model costs.
    """

    text: str
    share: float = math.inf
    more: float = math.inf
    total: float = math.inf

    @classmethod
    def parse(cls, quantity: str, text: str) -> Limit:
        """Read `+1%`, `+200k`, `26M`; latencies are in `us`, `ms` or `s`.

        Raises:
            UsageError: The text is not a limit of this quantity.
        """
        match = _LIMIT.fullmatch(text.strip())
        unit = match["unit"] if match else ""
        is_time = quantity == "latency"
        fits = match is not None and (unit == "%" or (unit in _TIMES) == is_time)
        if match is None or not fits or (unit == "%" and not match["plus"]):
            example = "+5%, +2ms or 30ms" if is_time else "+1%, +200k or 26M"
            raise UsageError(
                f"{text!r} is not a limit for {quantity}.", hint=f"Write {example}; + limits what is added."
            )
        number = float(match["number"])
        if unit == "%":
            return cls(text, share=number / 100)
        number *= _SCALES[unit]
        return cls(text, more=number) if match["plus"] else cls(text, total=number)

    def allows(self, total: float, delta: float) -> bool:
        """Whether something that costs `total`, `delta` more than the base, is within the limit."""
        return delta <= self.share * (total - delta) and delta <= self.more and total <= self.total


@dataclass(frozen=True)
class Budget:
    """Limits, by quantity; no limit for a quantity that is not named.

    Attributes:
        limits: By a name of `QUANTITIES`.
    """

    limits: Mapping[str, Limit] = field(default_factory=dict)

    @classmethod
    def parse(cls, **texts: str) -> Budget:
        """From text by quantity; empty texts are not limits.

        Raises:
            UnknownNameError: There is no such quantity.
            UsageError: A text is not a limit.
        """
        for quantity in texts:
            if quantity not in QUANTITIES:
                raise unknown_name("quantity", quantity, QUANTITIES)
        return cls({name: Limit.parse(name, text) for name, text in texts.items() if text})

    def __str__(self) -> str:
        return " ".join(f"--max-{quantity} {limit.text}" for quantity, limit in self.limits.items())

    def __bool__(self) -> bool:
        return bool(self.limits)

    def require_counted(self) -> None:
        """Refuse a budget that cannot choose sites.

        Raises:
            UsageError: It has no limit, or one of latency, which is measured for a whole model.
        """
        if not self:
            raise UsageError(
                "There is no budget to stay inside.",
                hint="Give a limit: max_params (--max-params +1%) or max_flops (--max-flops +0.5%).",
            )
        if self.needs_latency:
            raise UsageError(
                "Sites cannot be chosen by latency, which is measured for a whole model.",
                hint="Choose them by what is counted (--max-params), then `attn-inject stats --latency`.",
            )

    @property
    def needs_latency(self) -> bool:
        """Whether models have to be timed."""
        return "latency" in self.limits

    def exceeded(self, result: Cost, base: Cost) -> str:
        """The first counted quantity whose limit a modified model exceeds, or ""."""
        for quantity in COUNTED:
            total, delta = getattr(result, quantity), getattr(result - base, quantity)
            if quantity in self.limits and not self.limits[quantity].allows(total, delta):
                return quantity
        return ""

    def admits(self, row: StatsRow) -> bool:
        """Whether a row of a cost table is within every limit; one without figures is not."""
        if row.params is None or row.flops is None or row.activations is None:
            return False
        result = Cost(params=row.params, flops=row.flops, activations=row.activations)
        delta = Cost(
            params=row.delta_params or 0, flops=row.delta_flops or 0, activations=row.delta_activations or 0
        )
        if self.exceeded(result, result - delta):
            return False
        if not self.needs_latency or row.latency is None:
            return True
        added = row.latency.median * (1 - 1 / row.latency.ratio)
        return self.limits["latency"].allows(row.latency.median, added)


@dataclass(frozen=True)
class Fit(Shown):
    """The sites that a budget allows.

    Attributes:
        model: The user's name for the model.
        source: `timm`, `torchvision`, `factory`, `file` or `object`.
        attention: The spec as text.
        placement: As in the plan.
        budget: The limits as typed.
        sites: Names of the chosen blocks, in the model's order.
        candidates: Names of all blocks that could take the module.
        stages: Number of the stage of each candidate, by name.
        base: Cost of the untouched model.
        result: Cost of the modified model.
    """

    model: str
    source: str
    attention: str
    placement: str
    budget: str
    sites: tuple[str, ...]
    candidates: tuple[str, ...]
    base: Cost
    result: Cost
    stages: dict[str, int] = field(default_factory=dict)

    @property
    def delta(self) -> Cost:
        """Result minus base."""
        return self.result - self.base

    def selection(self) -> tuple[str, ...]:
        """Options of the command line that choose exactly these sites; the shortest that do."""
        left_out = [name for name in self.candidates if name not in self.sites]
        if not left_out:
            return ()
        whole = sorted({self.stages[name] for name in self.sites})
        if not {self.stages[name] for name in left_out} & set(whole):
            return ("--stage", ",".join(map(str, whole)))
        skip = tuple(word for name in left_out for word in ("--skip", name))
        keep = tuple(word for name in self.sites for word in ("--where", name))
        return min(skip, keep, key=len)

    def to_json(self) -> dict[str, Any]:
        """The document of `fit --json`, without the command."""
        return {
            "model": self.model,
            "source": self.source,
            "attention": self.attention,
            "placement": self.placement,
            "budget": self.budget,
            "sites": list(self.sites),
            "candidates": list(self.candidates),
            "base": self.base.to_json(),
            "result": self.result.to_json(),
            "delta": self.delta.to_json(),
        }
