"""Takes out the sites that do least, measured on images, within a bound."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from torch import nn

from attn_inject.checks.forward import equal, run
from attn_inject.cost.count import count
from attn_inject.cost.figures import Timing
from attn_inject.cost.latency import Conditions, time_in_turn
from attn_inject.errors import CheckFailedError, FitError, NoSiteError, UsageError, nearest
from attn_inject.files.atomic import check_writable
from attn_inject.insight import looking, pruning
from attn_inject.insight.images import image_files
from attn_inject.insight.inference import logarithms
from attn_inject.insight.preprocessing import preprocessing
from attn_inject.insight.pruned import PruneReport, Step
from attn_inject.models.loaded import LoadedModel
from attn_inject.operate.containment import contained
from attn_inject.operate.load_model import copied, name_of
from attn_inject.operate.look import Model, load_modified
from attn_inject.operate.progress import ProgressCallback, logged
from attn_inject.operate.saving import save
from attn_inject.shown import Shown
from attn_inject.surgery.bypass import bypassed, stands_for_another
from attn_inject.surgery.inserted import inserted_by_site
from attn_inject.surgery.removal import take_out

Places = str | Path | Sequence[str | Path]


class ImageOptions(TypedDict, total=False):
    """How images become inputs, as in `look`."""

    limit: int | None
    size: int | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    batch_size: int
    device: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Pruned(Shown):
    """A model without the sites that did least.

    Attributes:
        model: A copy of the model, on the CPU.
        report: What was pruned, and what that changed.
    """

    model: nn.Module
    report: PruneReport

    def __repr__(self) -> str:
        """One line."""
        every = len(self.report.steps) + len(self.report.kept)
        return f"<Pruned {self.report.model}: {len(self.report.steps)} of {every} sites taken out>"


@contained()
def prune(
    model: Model,
    images: Places | None = None,
    *,
    sites: str | Sequence[str] = (),
    below: float | None = None,
    max_change: float | None = None,
    out: str | Path | None = None,
    force: bool = False,
    latency: bool = False,
    progress: ProgressCallback | None = None,
    **options: Unpack[ImageOptions],
) -> Pruned:
    """Take out the sites that do least, and save the rest.

    The sites are chosen one after the other, and all that remain are measured again after each. The pruned
    model is proven to compute what the model computes with these sites bypassed, bit for bit.

    Args:
        model: A modified model, which stays as it is, or its file.
        images: As in `look`; needed for `below` and `max_change`.
        sites: Globs of the sites that may go; alone, all of them go.
        below: Sites go while their contribution, |y - x| / |x|, is below this share.
        max_change: Sites go while the softmax of the pruned model is at most this far from that of the model,
            a mean Kullback-Leibler divergence in nats. Takes one run per site for each site that goes.
        out: The file to write, `.safetensors` by that suffix, else `.pt`; `force` may replace one.
        latency: Whether to time both models, in turn; `progress` receives a sentence about each step.
        options: `limit`, `size`, `mean`, `std`, `batch_size` and `device`, as in `look`.

    Raises:
        UsageError: Nothing says what may go, or two bounds are given, or images are missing.
        NoSiteError: No site can go within the bound; the nearest is named.
        FitError: A named site replaces a layer; or nothing would stay, and `out` is given.
        CheckFailedError: The pruned model computes something else.
        FileError: An image or a file cannot be read or written.
    """
    bound = _bound(sites, below, max_change, images)
    if out is not None:
        check_writable(out, force=force)
    loaded, say = load_modified(model), logged(progress)
    paths = _may_go(loaded.model, [sites] if isinstance(sites, str) else sites)
    steps, stopped, facts = _chosen(loaded, paths, images, (below, max_change), say, options)
    kept = tuple(site for site in inserted_by_site(loaded.model) if site not in {s.site for s in steps})
    _require_something(steps, stopped, kept, bound, out)
    pruned = _taken_out(loaded, steps, say)
    if out is not None:
        save(pruned.model, out, force=force)
    report = PruneReport(
        model=name_of(model),
        bound=bound,
        steps=tuple(steps),
        kept=kept,
        next=stopped,
        before=count(loaded.model, loaded.inputs).cost,
        after=count(pruned.model, pruned.inputs).cost,
        latency=_timed(loaded, pruned) if latency else None,
        file=None if out is None else str(out),
        **facts,
    )
    return Pruned(model=pruned.model, report=report)


def _timed(loaded: LoadedModel, pruned: LoadedModel) -> tuple[Timing, Timing]:
    conditions = Conditions()
    both = conditions.place(loaded.model.cpu()), conditions.place(pruned.model)
    return time_in_turn(*both, loaded.inputs, conditions)


def _bound(
    sites: str | Sequence[str], below: float | None, max_change: float | None, images: Places | None
) -> str:
    """What was asked, in words."""
    if below is not None and max_change is not None:
        raise UsageError("--below and --max-change are both given.", hint="Give one bound.")
    if below is None and max_change is None:
        if not sites:
            raise UsageError(
                "Nothing says which sites may go.",
                hint="Add --max-change NATS or --below SHARE with --images FOLDER, or --sites GLOB.",
            )
        return f"--sites {sites if isinstance(sites, str) else ' '.join(sites)}"
    for name, value in (("--below", below), ("--max-change", max_change)):
        if value is not None and not value >= 0:
            raise UsageError(f"{name} {value} is not accepted; it is a number from 0.")
    if images is None:
        raise UsageError("The sites are measured on images, and none are given.", hint="Add --images FOLDER.")
    return f"--below {below:g}" if below is not None else f"--max-change {max_change:g}"


def _may_go(model: nn.Module, globs: Sequence[str]) -> dict[str, str]:
    """The qualified names of the inserted modules that may go, by site."""
    modules, paths = inserted_by_site(model), looking.paths(model)
    named = [site for site in modules if not globs or any(fnmatch.fnmatchcase(site, g) for g in globs)]
    for glob in globs:
        if not fnmatch.filter(modules, glob):
            close = ", ".join(nearest(glob, modules))
            raise NoSiteError(f"{glob!r} matches no modified site.", hint=f"The nearest are {close}.")
    replacing = [site for site in named if stands_for_another(modules[site])]
    if globs and replacing:
        raise FitError(
            f"{replacing[0]} replaces a layer, so it cannot be taken out.",
            hint="`attn-inject restore FILE --base FILE` takes everything out.",
        )
    return {site: paths[site] for site in named if site not in replacing}


def _chosen(
    loaded: LoadedModel,
    paths: dict[str, str],
    images: Places | None,
    bounds: tuple[float | None, float | None],
    say: ProgressCallback,
    options: ImageOptions,
) -> tuple[list[Step], Step | None, dict[str, Any]]:
    """The steps, what stopped them, and the report's facts about the images."""
    if images is None:
        bare: dict[str, Any] = {"contribution": None, "divergence": None, "agreement": None}
        steps = [Step(site=site, module=path, **bare) for site, path in paths.items()]
        return steps, None, {"images": 0, "preprocessing": ""}
    given = {name: options.get(name) for name in ("size", "mean", "std")}
    prepared = preprocessing(loaded, **given)  # type: ignore[arg-type]
    places = [images] if isinstance(images, str | Path) else images
    files, _ = image_files(places, options.get("limit", 100))
    device, batch_size = options.get("device", "cpu"), options.get("batch_size", 16)
    Conditions(device=device, batch_size=batch_size).check()
    with looking.evaluated(loaded.model), torch.random.fork_rng(devices=[]):
        inputs = looking.read(files, prepared, loaded.model, batch_size, device)
        whole = logarithms(loaded.model, inputs.batches)
        measure = pruning.Measure(loaded.model, inputs.batches, whole, paths, say)
        below, max_change = bounds
        if below is not None:
            steps, stopped = pruning.by_contribution(measure, below)
        elif max_change is not None:
            steps, stopped = pruning.by_change(measure, max_change)
        else:
            steps, stopped = pruning.all_of_them(measure)
    return steps, stopped, {"images": len(files), "preprocessing": prepared.said}


def _require_something(
    steps: Sequence[Step], stopped: Step | None, kept: Sequence[str], bound: str, out: str | Path | None
) -> None:
    if not steps:
        nearest_one = ""
        if stopped is not None:
            share = "" if stopped.contribution is None else f"contributes {stopped.contribution:.3g} and "
            moved = f"changes the output by {stopped.divergence:.3g} nats"
            nearest_one = f" The least, {stopped.site}, {share}{moved}."
        raise NoSiteError(f"No site can go within {bound}.{nearest_one}", hint="Raise the bound.")
    if not kept and out is not None:
        raise FitError(
            f"All {len(steps)} sites would go within {bound}, and no attention would stay.",
            hint="`attn-inject restore FILE --out BASE` saves the base, or lower the bound.",
        )


def _taken_out(loaded: LoadedModel, steps: Sequence[Step], say: ProgressCallback) -> LoadedModel:
    """A copy without these sites, which computes the same as the model with them bypassed."""
    say(f"taking {len(steps)} sites out")
    names = [step.module for step in steps]
    loaded.model.cpu()
    pruned = copied(loaded)
    take_out(pruned.model, names)
    with looking.evaluated(loaded.model), bypassed(loaded.model, names):
        expected = run(loaded.model, loaded.inputs, seed=0, batch_size=1)
    with looking.evaluated(pruned.model):
        found = run(pruned.model, pruned.inputs, seed=0, batch_size=1)
    if not equal(found, expected):
        raise CheckFailedError(
            "The pruned model computes something else than the model with these sites bypassed.",
            hint="Nothing was saved; please report the model.",
        )
    return pruned
