"""The card of a model on the Hugging Face Hub: what it is and costs, how it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from attn_inject.cost.comparison import Comparison, Inserted
from attn_inject.display.comparison_page import totals_grid
from attn_inject.display.escaping import markdown_cell
from attn_inject.display.grid import Table
from attn_inject.display.numbers import plural, scaled
from attn_inject.weights import WeightsOrigin


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a card says.

    Attributes:
        name: Of the folder or the repository.
        place: What `load` and timm call it: a folder, or `hf-hub:ORG/NAME`.
        costs: The base (A), and the modified model with its modules (B).
        weights: Where the base's weights are from; None if unknown.
        checks: What was checked: its name, and what it found.
        loads_in_timm: Whether timm can build the model.
        input_size: (C, H, W) in pixels, or None.
        front: More keys of the front matter, such as `license`.
        versions: Of the libraries.
    """

    name: str
    place: str
    costs: Comparison
    weights: WeightsOrigin | None
    checks: Sequence[tuple[str, str]]
    loads_in_timm: bool
    input_size: Sequence[int] | None = None
    front: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def card_text(card: Card) -> str:
    """The card as Markdown; names of other people's models cannot become markup."""
    inserted = card.costs.b.inserted
    size = f", for images of {'x'.join(map(str, card.input_size))}" if card.input_size else ""
    model = f"{markdown_cell(card.costs.a.model)} ({card.costs.a.source})"
    told = markdown_cell(str(card.weights)) if card.weights is not None else "unknown"
    written = ", ".join(f"{library} {version}" for library, version in card.versions.items())
    parts = [
        _front_matter(card),
        f"# {markdown_cell(card.name)}",
        f"{model} with {plural(len(inserted), 'attention module')} that attn-inject inserted{size}.",
        f"Weights of the base: {told}.",
        _modules(inserted).to_markdown(),
        "## How to load it",
        _loading(card),
        "## What it costs",
        "A is the base, B is the modified model. One flop is one multiply-add, as fvcore counts.",
        totals_grid(card.costs).to_markdown(),
        "## What was checked",
        Table.of("check|result", card.checks).to_markdown(),
        f"Written with {written}.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(card: Card) -> str:
    lines = [f"{key}: {json.dumps(value)}" for key, value in card.front.items()]
    if card.loads_in_timm:
        lines.append("library_name: timm")
    tags = ["attn-inject", *dict.fromkeys(item.attention.partition(":")[0] for item in card.costs.b.inserted)]
    lines += ["tags:", *(f"- {json.dumps(tag)}" for tag in tags)]
    return "\n".join(["---", *lines, "---"])


def _modules(inserted: Sequence[Inserted]) -> Table:
    """One row for each run of neighbouring modules that are alike."""
    rows = []
    for _, run in groupby(inserted, key=lambda item: (item.attention, item.placement, item.figures)):
        alike = list(run)
        names = [item.module.rpartition(".")[0] for item in (alike[0], alike[-1])]
        sites = names[0] if len(alike) == 1 else f"{names[0]} .. {names[1]}"
        first = alike[0]
        costs = scaled(first.figures.params), scaled(first.figures.flops)
        rows.append((sites, str(len(alike)), first.attention, first.placement, *costs))
    return Table.of("sites|>count|attention|placement|>params each|>flops each", rows)


def _loading(card: Card) -> str:
    own = f"import attn_inject\n\nmodel = attn_inject.load({_quoted(card.place)})"
    if not card.loads_in_timm:
        return f"```python\n{own}\n```"
    place = card.place if card.place.startswith("hf-hub:") else f"local-dir:{card.place}"
    return (
        f"```python\n{own}\n```\n\nor with timm's own function, which takes the usual arguments, such as "
        f"`num_classes`:\n\n```python\nimport timm\nimport attn_inject.timm\n\n"
        f"model = timm.create_model({_quoted(place)}, pretrained=True)\n```"
    )


def _quoted(text: str) -> str:
    return json.dumps(text).replace("`", "\\u0060")
