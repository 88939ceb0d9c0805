"""Chooses the sites that do least, one after the other, and measures all that remain again after each.

A site that is chosen is bypassed, which computes what the model without it computes; so nothing is removed
before the choice is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from attn_inject.insight.inference import Progress, agreement, divergence, logarithms
from attn_inject.insight.pruned import Step
from attn_inject.insight.watching import Call, watching
from attn_inject.surgery.bypass import bypassed


@dataclass(frozen=True)
class Measure:
    """A model on images, and what it says with all its sites.

    Attributes:
        model: In evaluation mode.
        batches: (n, 3, H, W) each, on its device.
        whole: Its log-probabilities, (N, K).
        paths: The qualified names of its inserted modules by site; of those that may go.
        say: Receives a sentence about each step.
    """

    model: nn.Module
    batches: Sequence[torch.Tensor]
    whole: torch.Tensor
    paths: Mapping[str, str]
    say: Progress

    def without(self, sites: Sequence[str]) -> Step:
        """The model without some sites, of which the last one is the step's own."""
        with bypassed(self.model, [self.paths[site] for site in sites]):
            output = logarithms(self.model, self.batches)
        last = sites[-1]
        return Step(
            site=last,
            module=self.paths[last],
            contribution=None,
            divergence=divergence(self.whole, output),
            agreement=agreement(self.whole, output),
        )

    def contributions(self, gone: Sequence[str]) -> dict[str, float]:
        """The mean contribution of every site that is not gone."""
        found: dict[str, list[torch.Tensor]] = {}

        def receive(call: Call) -> None:
            value = call.contribution()
            if value is not None and call.site in self.paths:
                found.setdefault(call.site, []).append(value)

        with bypassed(self.model, [self.paths[site] for site in gone]), watching(self.model, receive):
            logarithms(self.model, self.batches)
        return {site: float(torch.cat(values).mean()) for site, values in found.items()}


Chosen = tuple[list[Step], Step | None]


def all_of_them(measure: Measure) -> Chosen:
    """Every site that may go, with what the model says then."""
    steps: list[Step] = []
    for site in measure.paths:
        measure.say(f"running without {site}")
        steps.append(measure.without([*(step.site for step in steps), site]))
    return steps, None


def by_contribution(measure: Measure, below: float) -> Chosen:
    """The site of the smallest contribution, then again, while that is below a share.

    Returns:
        The steps, and the site that stopped it.
    """
    steps: list[Step] = []
    while len(steps) < len(measure.paths):
        gone = [step.site for step in steps]
        measure.say(f"measuring {len(measure.paths) - len(gone)} sites without {len(gone)}")
        shares = measure.contributions(gone)
        if not shares:
            break
        site = min(shares, key=lambda name: shares[name])
        step = replace(measure.without([*gone, site]), contribution=shares[site])
        if shares[site] >= below:
            return steps, step
        steps.append(step)
    return steps, None


def by_change(measure: Measure, max_change: float) -> Chosen:
    """The site whose absence changes the output least, then again, while all together change it by no more.

    Returns:
        The steps, and the site that stopped it.
    """
    steps: list[Step] = []
    while len(steps) < len(measure.paths):
        gone = [step.site for step in steps]
        left = [site for site in measure.paths if site not in gone]
        tried = []
        for at, site in enumerate(left, 1):
            measure.say(f"{len(gone)} pruned; running without {site} ({at} of {len(left)})")
            tried.append(measure.without([*gone, site]))
        least = min(tried, key=lambda step: (step.divergence or 0.0, -(step.agreement or 0.0)))
        if (least.divergence or 0.0) > max_change:
            return steps, least
        steps.append(least)
    return steps, None
