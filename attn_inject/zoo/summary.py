"""What a zoo leaves beside its files: index, table, card and page."""

from __future__ import annotations

from attn_inject.report.documents import json_text
from attn_inject.zoo.ledger import Ledger
from attn_inject.zoo.place import Place


def write_summaries(place: Place, ledger: Ledger) -> None:
    """Write `index.json`, `summary.csv`, `README.md` and `index.html` anew."""
    place.write("index.json", json_text({}).encode())
