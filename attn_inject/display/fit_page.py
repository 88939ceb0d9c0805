"""The sites that a budget allows, for people, and the command that inserts modules there."""

from __future__ import annotations

from attn_inject.cost.budget import Fit
from attn_inject.display.injection_page import cost_grid
from attn_inject.display.page import Part
from attn_inject.display.rejections import name_some

_NAMES_SHOWN = 8


def fit_page(fit: Fit, command: str) -> list[Part]:
    """The page that `fit` prints; `command` is what to type next."""
    count, every = len(fit.sites), len(fit.candidates)
    return [
        f"{fit.attention} at {count} of {every} sites of {fit.model} ({fit.source}) stays inside "
        f"{fit.budget}\n"
        f"{name_some(fit.sites, _NAMES_SHOWN)}",
        cost_grid(fit.base, fit.result),
        f"To insert the modules:\n{command}",
    ]
