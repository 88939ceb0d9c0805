"""The summaries of a zoo: index, table, card and page."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from attn_inject.display.documents import json_text
from attn_inject.display.grid import Table
from attn_inject.zoo.card import card_text
from attn_inject.zoo.index_page import page_text
from attn_inject.zoo.ledger import Ledger
from attn_inject.zoo.place import Place
from attn_inject.zoo.record import Record
from attn_inject.zoo.resume import name_aside
from attn_inject.zoo.rows import index_document, summary_cells

SUMMARIES = ("index.json", "summary.csv", "README.md", "index.html")


def write_summaries(place: Place, ledger: Ledger) -> None:
    """Write `index.json`, `summary.csv`, `README.md` and `index.html` again, from the whole ledger.

    A changed one is renamed first, like outputs.
    """
    records = _present(ledger, place.sizes())
    document = index_document(records)
    rows = document["outputs"]
    texts = {
        "index.json": json_text(document),
        "README.md": card_text(records, rows, document["versions"]),
        "index.html": page_text(document),
    }
    if rows:
        texts["summary.csv"] = Table.of("|".join(rows[0]), summary_cells(rows)).to_csv()
    contents = {name: text.encode() for name, text in texts.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    there = {name: place.stored(name).digest for name in place.taken(contents)}
    changed = {name: content for name, content in contents.items() if there.get(name) != digests[name]}
    if changed:
        ledger.note_summaries({name: digests[name] for name in changed})
    for name, content in changed.items():
        if name in there and there[name] not in ledger.summaries[name]:
            place.rename(name, name_aside(name, there[name]))
        place.write(name, content)


def _present(ledger: Ledger, sizes: Mapping[str, int]) -> list[Record]:
    """The latest record of each output, by file; an output is done only if its file exists."""
    return [
        record
        for _, record in sorted(ledger.records.items())
        if not record.is_done or record.discarded or sizes.get(record.file) == record.size
    ]
