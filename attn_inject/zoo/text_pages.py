"""The texts of a zoo: a line per finished model, the end of a run, and what a run would do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from attn_inject.display.grid import Table
from attn_inject.display.numbers import plural, scaled, storage
from attn_inject.display.page import Part
from attn_inject.display.rejections import name_some
from attn_inject.zoo.dry_run import DryRun, Planned
from attn_inject.zoo.engine import Node
from attn_inject.zoo.manifest import Zoo
from attn_inject.zoo.record import Record

_NAMES_SHOWN = 4


def record_line(record: Record) -> str:
    """`done    timm/resnet18.ela-l.pt  46.8 MB  0.7 s`, or why it failed."""
    if record.failure is not None:
        reason = " ".join(record.failure.message.split())
        return f"failed  {record.file}  {record.failure.code}: {reason}"
    discarded = "  discarded" if record.discarded else ""
    alone = "  alone, after memory ran out" if record.alone else ""
    return f"done    {record.file}  {storage(record.size)}  {record.seconds:.1f} s{discarded}{alone}"


def aside_lines(preview: DryRun) -> list[str]:
    """`kept    a.se.changed-fe5b4f19.pt  the former a.se.pt`, one line each."""
    return [
        f"kept    {planned.aside}  the former {planned.job.file}"
        for planned in preview.to_do
        if planned.aside is not None
    ]


def ending_page(records: Sequence[Record], zoo: Zoo) -> list[Part]:
    """How many outputs were done, kept and failed, and which failed for each reason."""
    made = [record for record in records if record.is_done and not record.reused]
    kept = [record for record in records if record.is_done and record.reused]
    failed = [record for record in records if not record.is_done]
    size = storage(sum(record.size for record in (*made, *kept) if not record.discarded))
    counts = f"{len(made)} done, {len(kept)} done before and intact, {len(failed)} failed"
    page: list[Part] = [f"{plural(len(records), 'output')} in {zoo.settings.out_dir}: {counts}; {size}"]
    alone = [record.label for record in made if record.alone]
    if alone:
        page.append(f"{name_some(alone, _NAMES_SHOWN)}: made alone, after memory ran out beside other models")
    return [*page, failure_grid(failed)] if failed else page


def failure_grid(failed: Iterable[Record]) -> Table:
    """One row per reason: how many outputs, which, and what to do."""
    by_reason: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in failed:
        if record.failure is not None:
            by_reason[record.failure.code, record.failure.message].append(record)
    rows = [
        (code, str(len(group)), name_some([record.label for record in group], _NAMES_SHOWN), message)
        for (code, message), group in sorted(by_reason.items(), key=lambda item: -len(item[1]))
    ]
    return Table.of("failed|>count|outputs|because", rows)


def dry_run_page(preview: DryRun) -> list[Part]:
    """What would run: every output with its state and needs, then the sums and the machines."""
    rows = [_row(planned, is_to_do=planned in preview.to_do) for planned in preview.outputs]
    grid = Table.of("file|state|would|>params|>file, about|>memory, about", rows)
    return [grid, _sums(preview), _machines(preview.nodes)]


def _row(planned: Planned, *, is_to_do: bool) -> tuple[str, ...]:
    params = "" if planned.params is None else scaled(planned.params)
    size = "" if planned.size is None else storage(planned.size)
    would = "run" if is_to_do else "stay"
    return (planned.job.file, planned.state, would, params, size, storage(planned.need))


def _sums(preview: DryRun) -> str:
    needed = f"about {storage(preview.disk_needed)} of disk"
    free = "" if preview.disk_free is None else f", {storage(preview.disk_free)} free"
    largest = max((planned.need for planned in preview.to_do), default=0)
    memory = f"; the largest needs about {storage(largest)} of memory" if largest else ""
    would = f"would run {len(preview.to_do)} of {plural(len(preview.outputs), 'output')}"
    return f"{would}: {needed}{free}{memory}"


def _machines(nodes: Sequence[Node]) -> str:
    lines = [f"{node.name}: {node.slots} at a time, {storage(node.memory)} of memory" for node in nodes]
    return "\n".join(lines) or "No machine is ready."
