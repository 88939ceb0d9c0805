"""What attention does in a model, on images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from attn_inject.cost.latency import Conditions
from attn_inject.errors import NoSiteError
from attn_inject.insight import looking
from attn_inject.insight.class_maps import Pair, require_torchcam
from attn_inject.insight.images import image_files
from attn_inject.insight.inference import Clock, agreement, divergence, logarithms
from attn_inject.insight.labels import class_names
from attn_inject.insight.pictures import pictures
from attn_inject.insight.preprocessing import Preprocessing, preprocessing
from attn_inject.insight.seen import Look
from attn_inject.insight.verdict import verdict
from attn_inject.models.loaded import LoadedModel
from attn_inject.operate.containment import contained
from attn_inject.operate.load_model import load_model, name_of
from attn_inject.operate.progress import ProgressCallback, logged
from attn_inject.request import ModelRequest
from attn_inject.surgery.inserted import inserted_modules

Model = nn.Module | str | ModelRequest


@contained()
def look(
    model: Model,
    images: str | Path | Sequence[str | Path],
    *,
    base: Model | None = None,
    limit: int | None = 100,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    bypass: bool = True,
    class_maps: bool = False,
    batch_size: int = 16,
    device: str = "cpu",
    progress: ProgressCallback | None = None,
) -> Look:
    """Run a modified classifier on images and see, site by site, what its attention does.

    Args:
        model: A modified model, or its file; it is unchanged afterwards, but may be moved to `device`.
        images: A folder of class folders, a folder of images, or files.
        base: What to compare with; by default the model itself with every inserted module bypassed.
        limit: The most images to take, evenly over all; None for all.
        size: Side in pixels, where another is wanted or the library does not say how images become inputs.
        mean: Of each channel, from 0 to 1; likewise.
        std: Of each channel; likewise.
        bypass: Whether to run the model once more for each site, without that site.
        class_maps: Whether to make class activation maps for the page; needs `attn-inject[look]`.
        batch_size: How many images run at once.
        device: Where to run.
        progress: Receives a sentence about each step.

    Raises:
        NoSiteError: The model has no inserted module.
        UsageError: Nothing says how images become inputs.
        FileError: An image, or the model's file, is unreadable.
        ModelError: The model cannot be built, is not a classifier, or refuses the images.
        MissingExtraError: torchcam is not installed (`class_maps`).
    """
    if class_maps:
        require_torchcam()
    Conditions(device=device, batch_size=batch_size).check()
    loaded = load_modified(model)
    files, every = image_files([images] if isinstance(images, str | Path) else images, limit)
    prepared = preprocessing(loaded, size=size, mean=mean, std=std)
    with looking.evaluated(loaded.model), torch.random.fork_rng(devices=[]):
        inputs = looking.read(files, prepared, loaded.model, batch_size, device)
        run = _Run(name_of(model), loaded, inputs, prepared, _against(loaded, base, device), logged(progress))
        return run.look(_notes(len(files), every, run.against), bypass=bypass, maps=class_maps)


@dataclass(frozen=True)
class _Run:
    """A model on images."""

    name: str
    loaded: LoadedModel
    inputs: looking.Inputs
    prepared: Preprocessing
    against: looking.Compared | None
    say: ProgressCallback
    clock: Clock = field(default_factory=Clock)

    def look(self, notes: list[str], *, bypass: bool, maps: bool) -> Look:
        """All of it."""
        model, inputs, clock = self.loaded.model, self.inputs, self.clock
        self.say(f"running {self.name} on {len(inputs.files)} images")
        logarithms(model, inputs.batches[:1])  # the first call of a process is slower
        plain = logarithms(model, inputs.batches, clock, "plain")
        records, ours = looking.recorded(model, inputs, clock)
        theirs = self._of_the_base()
        tried = looking.effects(model, inputs, plain, clock, self.say) if bypass else {}
        pair = self._class_maps(theirs, notes) if maps else None
        names = class_names(self.loaded, ours.shape[1])
        shown, scales = pictures(inputs, self.prepared, records, ours, theirs, names, pair)
        sites = looking.as_seen(model, records, tried, inputs.labels)
        agrees = None if theirs is None else agreement(ours, theirs)
        base = self.against.said if self.against is not None else ""
        return Look(
            model=self.name,
            images=len(inputs.files),
            classes=tuple(dict.fromkeys(label for label in inputs.labels if label)),
            preprocessing=self.prepared.said,
            base=base,
            sites=sites,
            agreement=agrees,
            divergence=None if theirs is None else divergence(theirs, ours),
            verdict=verdict(sites, len(inputs.files), agrees, base),
            seconds=clock.seconds,
            notes=tuple(notes),
            pictures=shown,
            scales=scales,
        )

    def _of_the_base(self) -> torch.Tensor | None:
        if self.against is None:
            return None
        with looking.evaluated(self.against.model), self.against.context():
            return logarithms(self.against.model, self.inputs.batches, self.clock, "base")

    def _class_maps(self, theirs: torch.Tensor | None, notes: list[str]) -> Pair | None:
        if self.against is None or theirs is None:
            return None
        self.say("making class activation maps")
        with looking.evaluated(self.against.model):
            classes = theirs.argmax(1).tolist()
            pair, note = looking.class_map_pairs(self.loaded.model, self.against, self.inputs, classes)
        notes.append(note)
        return pair


def load_modified(model: Model) -> LoadedModel:
    """A modified model, from its file or the object.

    Raises:
        NoSiteError: It has no inserted module.
    """
    loaded = load_model(model)
    if not inserted_modules(loaded.model):
        raise NoSiteError(
            f"{name_of(model)} holds no attention module that attn-inject inserted.",
            hint="Insert some first: `attn-inject MODEL --attn SPEC --out FILE`; then look at FILE.",
        )
    return loaded


def _against(loaded: LoadedModel, base: Model | None, device: str) -> looking.Compared | None:
    if base is None:
        return looking.itself(loaded.model)
    other = load_model(base).model.to(device)
    return looking.Compared(name_of(base), other, bypass=False)


def _notes(taken: int, every: int, against: looking.Compared | None) -> list[str]:
    notes = []
    if taken < every:
        notes.append(f"{taken} of {every} images were taken, evenly; --limit N takes more.")
    if against is None:
        notes.append("There is no base to compare with, since modules replace layers; name it with --base.")
    return notes
