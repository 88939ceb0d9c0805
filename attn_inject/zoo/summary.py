"""What a zoo leaves beside its files: index, table, card and page."""

from __future__ import annotations

from collections.abc import Mapping

from attn_inject.display.documents import json_text
from attn_inject.display.grid import Table
from attn_inject.zoo.card import card_text
from attn_inject.zoo.index_page import page_text
from attn_inject.zoo.ledger import Ledger
from attn_inject.zoo.place import Place
from attn_inject.zoo.record import Record
from attn_inject.zoo.rows import index_document, summary_cells

SUMMARIES = ("index.json", "summary.csv", "README.md", "index.html")


def write_summaries(place: Place, ledger: Ledger) -> None:
    """Write `index.json`, `summary.csv`, `README.md` and `index.html` anew, from the whole ledger."""
    records = _present(ledger, place.sizes())
    document = index_document(records)
    rows = document["outputs"]
    place.write("index.json", json_text(document).encode())
    if rows:
        grid = Table.of("|".join(rows[0]), summary_cells(rows))
        place.write("summary.csv", grid.to_csv().encode())
    place.write("README.md", card_text(records, rows, document["versions"]).encode())
    place.write("index.html", page_text(document).encode())


def _present(ledger: Ledger, sizes: Mapping[str, int]) -> list[Record]:
    """The latest record of each output, by file; nothing is called done that is not there."""
    return [
        record
        for _, record in sorted(ledger.records.items())
        if not record.is_done or record.discarded or sizes.get(record.file) == record.size
    ]
