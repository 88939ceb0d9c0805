"""What was pruned, for people."""

from __future__ import annotations

from attn_inject.display.grid import Table
from attn_inject.display.injection_page import cost_grid
from attn_inject.display.look_page import percent
from attn_inject.display.numbers import duration, plural
from attn_inject.display.page import Part
from attn_inject.insight.pruned import PruneReport, Step


def prune_page(report: PruneReport) -> list[Part]:
    """The page that `prune` prints: the sites in their order, what they saved, what that changed."""
    every = len(report.steps) + len(report.kept)
    on = f" on {plural(report.images, 'image')}" if report.images else ""
    title = f"{len(report.steps)} of {every} sites of {report.model} taken out, {report.bound}{on}"
    parts: list[Part] = [f"{title}\n{report.preprocessing}".rstrip()]
    parts.append(Table.of("pruned|>contrib.|>same|>nats", map(_row, report.steps)).without_empty_columns())
    parts.append(cost_grid(report.before, report.after))
    parts.append("\n".join(_sentences(report)))
    return parts


def _row(step: Step) -> tuple[str, ...]:
    moved = "" if step.divergence is None else f"{step.divergence:.2g}"
    return step.site, percent(step.contribution), percent(step.agreement), moved


def _sentences(report: PruneReport) -> list[str]:
    last, told = report.steps[-1], []
    if last.agreement is not None:
        same = round(last.agreement * report.images)
        told.append(
            f"Without these sites the most likely class stays on {same} of {report.images} images, "
            f"and the probabilities move by {last.divergence:.2g} nats."
        )
    if report.next is not None:
        share = f"{percent(report.next.contribution)} contribution, " if report.next.contribution else ""
        told.append(f"The next would be {report.next.site}: {share}{report.next.divergence:.2g} nats.")
    told.append(f"Kept: {', '.join(report.kept) or 'nothing'}.")
    if report.latency is not None:
        before, after = (duration(timing.median) for timing in report.latency)
        told.append(f"Latency: {before} before, {after} after, on one image.")
    if report.file is not None:
        told.append(f"saved {report.file}")
    return told
