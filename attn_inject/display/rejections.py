"""Why candidates are not sites: one line per reason, however many share it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from attn_inject.display.grid import Table
from attn_inject.sites.site import Rejection


def rejection_grid(rejected: Iterable[Rejection], *, names: int | None = None) -> Table:
    """Candidates grouped by reason, most frequent reason first.

    Args:
        rejected: Candidates that were rejected, and sites that were skipped.
        names: How many candidates to name for each reason; None names all.
    """
    by_reason: dict[str, list[str]] = defaultdict(list)
    for rejection in rejected:
        by_reason[rejection.reason].append(rejection.name)
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    return Table.of(
        "skipped because|>count|candidates",
        [(reason, str(len(found)), name_some(found, names)) for reason, found in ordered],
    )


def name_some(found: Sequence[str], limit: int | None) -> str:
    """`a, b, c and 21 more`; all of them without a limit."""
    if limit is None or len(found) <= limit:
        return ", ".join(found)
    return f"{', '.join(found[:limit])} and {len(found) - limit} more"
