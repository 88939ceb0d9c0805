"""What a zoo would do: its outputs with their states and needs. Nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attn_inject.attention import registry
from attn_inject.errors import AttnInjectError, all_errors
from attn_inject.request import AttentionSpec, ModelRequest, to_dict
from attn_inject.trust import GivenName
from attn_inject.zoo.drive import Finished, drive
from attn_inject.zoo.engine import Engine, Failure, Node, Task
from attn_inject.zoo.jobs import Found, Job, make_jobs
from attn_inject.zoo.ledger import Ledger
from attn_inject.zoo.manifest import Zoo
from attn_inject.zoo.place import Place
from attn_inject.zoo.resume import OutputStatus, name_aside, scan_outputs
from attn_inject.zoo.schedule import USUAL, estimate

ProgressCallback = Callable[[str], None]
_SIZING = 600.0  # seconds for sizing a model; one that takes longer runs without a size


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One requested output.

    Attributes:
        job: The request.
        state: A key of `resume.STATES`.
        params: Of the untouched model; None if unknown, as for a saved file.
        size: Bytes of the untouched model, about those of the file; None if it could not be built.
        need: Bytes of memory to set aside.
        aside: The new name of a changed file that exists now; None if there is none.
        replaces: Whether the existing file is a zoo's own, unchanged.
    """

    job: Job
    state: str
    params: int | None = None
    size: int | None = None
    need: int = 0
    aside: str | None = None
    replaces: bool = False

    def to_json(self) -> dict[str, Any]:
        """The documented keys of one entry of `outputs`."""
        return {
            "file": self.job.file,
            "model": self.job.request.name,
            "attention": list(self.job.attention),
            "placement": self.job.plan.placement,
            "state": self.state,
            "params": self.params,
            "bytes": self.size,
            "memory": self.need,
        }


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """Every output, the machines, and the disk space.

    Attributes:
        outputs: In the order of the request.
        to_do: The outputs that will be made.
        nodes: The machines.
        disk_free: Bytes left in the output folder; None if unknown.
    """

    outputs: tuple[Planned, ...]
    to_do: tuple[Planned, ...]
    nodes: tuple[Node, ...]
    disk_free: int | None

    @property
    def disk_needed(self) -> int:
        """The approximate bytes of the files to be made."""
        return sum(planned.size or 0 for planned in self.to_do)

    def to_json(self) -> dict[str, Any]:
        """The document of `zoo --dry-run --json`."""
        return {
            "outputs": [planned.to_json() for planned in self.outputs],
            "to_do": len(self.to_do),
            "disk_needed": self.disk_needed,
            "disk_free": self.disk_free,
            "nodes": [
                {"name": node.name, "processes": node.slots, "memory": node.memory} for node in self.nodes
            ],
        }


def find_jobs(zoo: Zoo, engine: Engine, *, only_look: bool = False) -> list[Job]:
    """Every output of a zoo, its models looked up by a worker.

    Args:
        zoo: The request.
        engine: Runs the worker.
        only_look: Whether other people's modules are not imported, and their options not checked.

    Raises:
        AttnInjectError: A name that does not exist, a glob that matches nothing, or two equal files.
    """
    texts = list(dict.fromkeys(text for entry in zoo.entries for text in entry.models))
    specs = list(
        {str(s): s for entry in zoo.entries for plan in entry.plans for s in plan.attention}.values()
    )
    if only_look:
        specs = [spec for spec in specs if _is_known(spec)]
    task = Task(number=0, work="find", payload={"texts": texts, "specs": specs}, label="finding models")
    [finished] = drive(engine, [task], retries=1)
    if finished.failure is not None:
        raise as_error(finished.failure)
    found: Mapping[str, Found] = dict(zip(texts, finished.answer, strict=True))
    return make_jobs(zoo, found)


def _is_known(spec: AttentionSpec) -> bool:
    entry = registry.find(spec.name)
    return entry.is_built_in or entry.owner == "timm"


def as_error(failure: Failure) -> AttnInjectError:
    """The error that a worker raised, as one of this process."""
    by_code = {error.code: error for error in all_errors()}
    message = f"{failure.message}\n{failure.detail}".strip() if failure.detail else failure.message
    return by_code.get(failure.code, AttnInjectError)(message, hint=failure.hint)


def look_ahead(
    zoo: Zoo, engine: Engine, ledger: Ledger, place: Place, *, only_look: bool, progress: ProgressCallback
) -> DryRun:
    """The outputs that are to be made.

    Args:
        zoo: The request.
        engine: Finds and sizes models.
        ledger: The records of earlier runs.
        place: Where the output lives.
        only_look: Whether to size finished outputs, too, and import no other people's code: for a dry run.
            Models that are code then have no size.
        progress: Receives a sentence about each step.
    """
    progress("finding models")
    jobs = find_jobs(zoo, engine, only_look=only_look)
    progress("reading the outputs of earlier runs")
    standings = scan_outputs(jobs, ledger, place, discard=zoo.settings.discard)
    wanted = [s for s in standings if _is_to_do(s, only_failed=zoo.settings.only_failed)]
    looked_at = [s.job for s in standings if not GivenName(s.job.request.name).is_code]
    sizes = _sizes(engine, looked_at if only_look else [s.job for s in wanted], progress)
    outputs = tuple(_planned(standing, sizes) for standing in standings)
    to_do = {id(standing.job) for standing in wanted}
    return DryRun(
        outputs=outputs,
        to_do=tuple(planned for planned in outputs if id(planned.job) in to_do),
        nodes=tuple(engine.nodes()),
        disk_free=place.free(),
    )


def _is_to_do(standing: OutputStatus, *, only_failed: bool) -> bool:
    return standing.state == "failed" if only_failed else standing.state != "done"


def _planned(standing: OutputStatus, sizes: Mapping[str, Mapping[str, int]]) -> Planned:
    job = standing.job
    found = sizes.get(_text(job.request), {})
    size = found.get("bytes")
    # A model that cannot be sized most likely fails with a reason when it is converted.
    need = estimate(size or 0, job.plan.check, found.get("positions", USUAL))
    aside = name_aside(job.file, standing.changed) if standing.changed else None
    return Planned(
        job=job,
        state=standing.state,
        params=found.get("params"),
        size=size,
        need=need,
        aside=aside,
        replaces=standing.is_own,
    )


def _sizes(engine: Engine, jobs: Iterable[Job], progress: ProgressCallback) -> dict[str, Mapping[str, int]]:
    """The size of each different model; models that cannot be built are left out."""
    first = {_text(job.request): job for job in reversed([*jobs])}
    tasks = [
        Task(
            number=number,
            work="size",
            payload={"request": job.request},
            label=job.request.name,
            timeout=job.timeout or _SIZING,
        )
        for number, job in enumerate(first.values())
    ]
    texts: Sequence[str] = [*first]
    sizes: dict[str, Mapping[str, int]] = {}
    finished: Finished
    for count, finished in enumerate(drive(engine, tasks), 1):
        progress(f"sizing models: {count} of {len(tasks)}")
        if finished.failure is None:
            sizes[texts[finished.task.number]] = finished.answer
    return sizes


def _text(request: ModelRequest) -> str:
    return json.dumps(to_dict(request), sort_keys=True)
