"""What is inserted in a live model, for people."""

from __future__ import annotations

from collections.abc import Sequence

from attn_inject.display.grid import Table
from attn_inject.display.numbers import plural
from attn_inject.display.page import Part
from attn_inject.results import InsertedStatus


def inserted_page(model: str, modules: Sequence[InsertedStatus]) -> list[Part]:
    """One row per module: where it is, what it is, and what it does now."""
    rows = [
        (
            item.site,
            item.attention,
            item.placement,
            "" if item.alpha is None else f"{item.alpha:.4g}",
            f"{item.params:,}",
            f"{item.learning:,}",
            "train" if item.training else "eval",
            "bypassed" if item.bypassed else "",
        )
        for item in modules
    ]
    titles = "site|attention|placement|>alpha|>params|>learning|mode|remarks"
    return [
        f"{plural(len(modules), 'module')} inserted in {model}",
        Table.of(titles, rows).without_empty_columns(),
    ]
