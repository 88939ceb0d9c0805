"""`README.md` of a zoo: what is in the folder, what it costs, what failed, and how to load a file."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from attn_inject.display.escaping import markdown_cell
from attn_inject.display.grid import Table
from attn_inject.display.numbers import change, plural, scaled, share, storage
from attn_inject.weights import WeightsOrigin
from attn_inject.zoo.record import Record
from attn_inject.zoo.text_pages import failure_grid

_MOST_ROWS = 200
_MOST_WEIGHTS = 12
_EXPLAINED = {
    "index.json": "every output with its costs, digest and, if it failed, the reason",
    "summary.csv": "the same as a table",
    "index.html": "the same as a page to sort and filter",
    "ledger.jsonl": "the result of each output, in full, in order of time; the next run continues from it",
}


def card_text(
    records: Sequence[Record], rows: Sequence[Mapping[str, Any]], versions: Mapping[str, str]
) -> str:
    """The card.

    Args:
        records: The results of all outputs.
        rows: The same in short form, see `rows.row`.
        versions: Of the libraries.
    """
    return "\n\n".join(_parts(records, rows, versions)) + "\n"


def _parts(
    records: Sequence[Record], rows: Sequence[Mapping[str, Any]], versions: Mapping[str, str]
) -> Iterator[str]:
    done = [row for row in rows if row["status"] == "done"]
    failed = [record for record in records if not record.is_done]
    yield "# A zoo made with attn-inject"
    yield _lead(rows, done)
    yield from _weights(records)
    yield "## What it costs"
    yield _by_module(done).to_markdown()
    yield "Medians over the models. One flop is one multiply-add, as fvcore counts."
    yield "## The files"
    if done:
        yield f"```python\nimport attn_inject\n\nmodel = attn_inject.load({_quoted(done[0]['file'])})\n```"
    yield _files(done).to_markdown()
    if len(done) > _MOST_ROWS:
        yield f"And {len(done) - _MOST_ROWS} more; `summary.csv` has them all."
    if failed:
        yield "## What failed"
        yield failure_grid(failed).to_markdown()
    yield "## Other files"
    yield "\n".join(f"- `{name}`: {meaning}" for name, meaning in _EXPLAINED.items())
    yield "Made with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."


def _quoted(file: str) -> str:
    return json.dumps(file).replace("`", "\\u0060")


def _lead(rows: Sequence[Mapping[str, Any]], done: Sequence[Mapping[str, Any]]) -> str:
    models = len({row["model"] for row in done})
    modules = sorted({", ".join(row["attention"]) for row in rows})
    placements = sorted({row["placement"] for row in rows})
    size = storage(sum(row["bytes"] or 0 for row in done if not row["discarded"]))
    return (
        f"{plural(models, 'model')} with attention modules inserted into their residual blocks "
        f"({markdown_cell(', '.join(modules))}; placement {markdown_cell(', '.join(placements))}): "
        f"{plural(len(done), 'output')} done, {len(rows) - len(done)} failed, {size}."
    )


def _weights(records: Sequence[Record]) -> Iterator[str]:
    """Where the weights of the bases are from, once if they are alike."""
    given = [record.result.get("weights") for record in records if record.result]
    texts = dict.fromkeys(filter(None, map(_origin_text, given)))
    if texts:
        shown = [markdown_cell(text) for text in texts][:_MOST_WEIGHTS]
        more = f" and {len(texts) - len(shown)} more" if len(texts) > len(shown) else ""
        yield f"Weights of the bases: {', '.join(shown)}{more}."


def _origin_text(weights: Any) -> str:
    """As an `inject` of this or another version wrote it; empty if it cannot be read."""
    try:
        return str(WeightsOrigin(**weights)) if weights else ""
    except (TypeError, ValueError):
        return ""


def _by_module(done: Sequence[Mapping[str, Any]]) -> Table:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in done:
        groups[", ".join(row["attention"]), row["placement"]].append(row)
    rows = [
        (module, placement, str(len(group)), *(_median_share(group, what) for what in _COSTS))
        for (module, placement), group in sorted(groups.items())
    ]
    return Table.of("attention|placement|>outputs|>params|>flops|>activations", rows)


_COSTS = ("params", "flops", "activations")


def _median_share(group: Sequence[Mapping[str, Any]], what: str) -> str:
    costs = [(row[f"delta_{what}"], row[f"base_{what}"]) for row in group]
    shares = [delta / base for delta, base in costs if delta is not None and base]
    return share(round(median(shares) * 10**9), 10**9) if shares else "-"


def _files(done: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            row["file"] + (" (discarded)" if row["discarded"] else ""),
            str(row["sites"]),
            _known(scaled, row["params"]),
            _known(change, row["delta_params"]),
            _known(scaled, row["flops"]),
            _known(change, row["delta_flops"]),
            _known(storage, row["bytes"]),
        )
        for row in done[:_MOST_ROWS]
    ]
    return Table.of("file|>modules|>params|>added|>flops|>added|>size", rows)


def _known(show: Callable[[int], str], number: int | None) -> str:
    """A number, or `-` if a model could not be counted."""
    return "-" if number is None else show(number)
