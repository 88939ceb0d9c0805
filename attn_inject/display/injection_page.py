"""What an injection did, for people: how many modules, where, at what cost, and which checks passed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from attn_inject.cost.cost import Cost
from attn_inject.display.grid import Table
from attn_inject.display.numbers import change, plural, scaled, share
from attn_inject.display.page import Part
from attn_inject.display.rejections import name_some, rejection_grid
from attn_inject.results import Check, Insertion, Report
from attn_inject.sites.site import Site

_NAMES_SHOWN = 4


def injection_page(report: Report, *, dry_run: bool = False) -> list[Part]:
    """The page that `inject` prints."""
    return [part for part in _parts(report, dry_run) if part]


def _parts(report: Report, dry_run: bool) -> Iterator[Part | None]:
    yield f"{_headline(report, dry_run)}\n{_manner(report)}"
    yield insertion_grid(report.insertions) if report.insertions else None
    yield _adaptations(report.insertions)
    yield rejection_grid(report.rejected, names=_NAMES_SHOWN) if report.rejected else None
    yield cost_grid(report.base, report.result, counted=not report.uncountable)
    if report.uncountable:
        yield f"only the inserted modules are counted: {report.uncountable}"
    yield uncounted_line(report.uncounted)
    yield check_grid(report.checks) if report.checks else None
    yield _ending(report, dry_run)


def _headline(report: Report, dry_run: bool) -> str:
    modules = plural(len(report.insertions), "module")
    sites = plural(len({insertion.site.name for insertion in report.insertions}), "site")
    verb = "would insert" if dry_run else "inserted"
    return f"{verb} {modules} at {sites} of {report.model} ({report.source}), skipped {len(report.rejected)}"


def _manner(report: Report) -> str:
    size = "x".join(map(str, report.input_size)) if report.input_size else "as given"
    attention = ", ".join(report.attention)
    manner = f"attention {attention}; placement {report.placement}; start {report.start}; input {size}"
    return f"{manner}\nweights {report.weights}" if report.weights else manner


def weights_line(report: Report) -> str:
    """If the saved base has random weights, what to type instead; else nothing."""
    if report.file is None or report.weights is None or not report.weights.is_random:
        return ""
    return "the base's weights are random; for trained ones add --pretrained or --weights FILE"


def insertion_grid(insertions: Iterable[Insertion]) -> Table:
    """One row for each run of neighbouring sites that got the same module on the same shape."""
    rows = []
    for _, run in groupby(insertions, key=_kind):
        alike = list(run)
        first, last = alike[0], alike[-1]
        names = first.site.name if len(alike) == 1 else f"{first.site.name} .. {last.site.name}"
        costs = (scaled(first.cost.params), scaled(first.cost.flops))
        rows.append((names, str(len(alike)), first.attention, _map(first.site), *costs))
    return Table.of("sites|>count|attention|map (CxHxW)|>params each|>flops each", rows)


def _map(site: Site) -> str:
    rows_and_columns = "" if site.height is None else f"x{site.height}x{site.width}"
    return f"{site.channels}{rows_and_columns} {site.layout}"


def _kind(insertion: Insertion) -> tuple[object, ...]:
    site = insertion.site
    return insertion.attention, site.layout, site.channels, site.height, site.width, insertion.cost


def _adaptations(insertions: Iterable[Insertion]) -> str:
    sites_by_note: dict[str, list[str]] = defaultdict(list)
    for insertion in insertions:
        if insertion.note:
            sites_by_note[insertion.note].append(insertion.site.name)
    return "\n".join(
        f"adapted: {note} ({name_some(sites, _NAMES_SHOWN)})" for note, sites in sites_by_note.items()
    )


def cost_grid(base: Cost, result: Cost, *, counted: bool = True) -> Table:
    """Before, after and the difference, one row per quantity.

    Args:
        base: Of the untouched model.
        result: Of the modified model.
        counted: Whether more than the parameters of the two are known.
    """
    quantities = (
        ("params", base.params, result.params),
        ("flops (multiply-adds)", base.flops, result.flops),
        ("activations (elements)", base.activations, result.activations),
    )
    rows = [
        (name, scaled(before), scaled(after), change(after - before), share(after - before, before))
        if counted or name == "params"
        else (name, "unknown", "unknown", change(after - before), "unknown")
        for name, before, after in quantities
    ]
    return Table.of("cost|>before|>after|>delta|>change", rows)


def uncounted_line(uncounted: Mapping[str, int]) -> str:
    """Which operations fvcore has no rule for and how often they ran, or nothing."""
    if not uncounted:
        return ""
    ran = ", ".join(f"{operation} x{count}" for operation, count in uncounted.items())
    return f"not in flops (fvcore has no rule): {ran}"


def check_grid(checks: Iterable[Check]) -> Table:
    """Every check, its result and its detail."""
    rows = [(check.name, "passed" if check.passed else "FAILED", check.detail) for check in checks]
    return Table.of("check|result|detail", rows).without_empty_columns()


def _ending(report: Report, dry_run: bool) -> str:
    if report.file:
        return f"saved {report.file}"
    return "nothing was saved (--dry-run)" if dry_run else ""
