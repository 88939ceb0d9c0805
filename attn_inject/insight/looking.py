"""Runs a modified model on images, watched, and then once more for each site with that site bypassed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from attn_inject.insight import class_maps
from attn_inject.insight.images import ImageFile, opened
from attn_inject.insight.inference import Clock, Progress, agreement, divergence, logarithms
from attn_inject.insight.preprocessing import Preprocessing
from attn_inject.insight.seen import SiteSeen
from attn_inject.insight.site_record import SiteRecord
from attn_inject.insight.watching import watching
from attn_inject.surgery.apply import spec_label
from attn_inject.surgery.bypass import bypassed, stands_for_another
from attn_inject.surgery.inserted import AttnInject, inserted_by_site, inserted_modules


@dataclass(frozen=True)
class Inputs:
    """Images as a model gets them, in batches on its device."""

    files: Sequence[ImageFile]
    batches: Sequence[torch.Tensor]

    @property
    def labels(self) -> list[str]:
        """The class folder of each image, or ""."""
        return [file.label for file in self.files]


@dataclass(frozen=True)
class Compared:
    """What a model is compared with: itself with all modules bypassed, or another model."""

    said: str
    model: nn.Module
    bypass: bool

    def context(self) -> Any:
        """In it, `model` computes what the base computes."""
        return bypassed(self.model) if self.bypass else nullcontext()


def read(
    files: Sequence[ImageFile], prepared: Preprocessing, model: nn.Module, batch_size: int, device: str
) -> Inputs:
    """Images from files, on the device that the model is moved to.

    Raises:
        FileError: A file is not an image.
    """
    model.to(device)
    ready = [prepared.transform(opened(file)) for file in files]
    batches = [torch.stack(ready[at : at + batch_size]).to(device) for at in range(0, len(ready), batch_size)]
    return Inputs(files, batches)


def itself(model: nn.Module) -> Compared | None:
    """A model's own base, or None if a module replaces a layer of it."""
    if any(stands_for_another(module) for module in inserted_modules(model).values()):
        return None
    return Compared("the base", model, bypass=True)


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Within the context a model is in evaluation mode; afterwards each module has its own mode again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def recorded(model: nn.Module, inputs: Inputs, clock: Clock) -> tuple[dict[str, SiteRecord], torch.Tensor]:
    """What each site did, and the log-probabilities of the model, (N, K)."""
    records: dict[str, SiteRecord] = {site: SiteRecord() for site in inserted_by_site(model)}
    with watching(model, lambda call: records[call.site].add(call)):
        output = logarithms(model, inputs.batches, clock, "watched")
    return records, output


def effects(
    model: nn.Module, inputs: Inputs, whole: torch.Tensor, clock: Clock, progress: Progress
) -> dict[str, tuple[float, float]]:
    """For each site that can be bypassed alone: agreement with the whole model, and divergence from it."""
    found = {}
    sites = {site: m for site, m in inserted_by_site(model).items() if not stands_for_another(m)}
    names = paths(model)
    for at, site in enumerate(sites, 1):
        progress(f"running without {site} ({at} of {len(sites)})")
        with bypassed(model, [names[site]]):
            output = logarithms(model, inputs.batches, clock, "bypassed")
        found[site] = agreement(whole, output), divergence(whole, output)
    return found


def paths(model: nn.Module) -> dict[str, str]:
    """The qualified name of each inserted module by its site."""
    by_object = {id(module): path for path, module in inserted_modules(model).items()}
    return {site: by_object[id(module)] for site, module in inserted_by_site(model).items()}


def as_seen(
    model: nn.Module,
    records: Mapping[str, SiteRecord],
    tried: Mapping[str, tuple[float, float]],
    labels: Sequence[str],
) -> tuple[SiteSeen, ...]:
    """The figures of every site."""
    names = paths(model)
    return tuple(
        _site(site, names[site], module, records[site], tried.get(site), labels)
        for site, module in inserted_by_site(model).items()
    )


def _site(
    site: str,
    path: str,
    module: AttnInject,
    record: SiteRecord,
    tried: tuple[float, float] | None,
    labels: Sequence[str],
) -> SiteSeen:
    edit = module.edit
    return SiteSeen(
        site=site,
        module=path,
        attention=spec_label(edit) if edit is not None else type(module.attention).__name__,
        placement=edit.placement if edit is not None else "",
        alpha=None if module.alpha is None else float(module.alpha.detach()),
        change=_mean(record.changes),
        contribution=_mean(record.contributions),
        gates=tuple(gate.seen(name, labels) for name, gate in record.gates.items()),
        agreement=None if tried is None else tried[0],
        divergence=None if tried is None else tried[1],
    )


def _mean(parts: Sequence[torch.Tensor]) -> float | None:
    return float(torch.cat(list(parts)).mean()) if parts else None


def class_map_pairs(
    model: nn.Module, base: Compared, inputs: Inputs, classes: Sequence[int]
) -> tuple[class_maps.Pair | None, str]:
    """The maps of base and model, and why there are none."""
    layer = class_maps.last_map(model)
    if layer is None:
        return None, "No class activation maps: no modified block returns a map."
    if layer not in dict(base.model.named_modules()):
        return None, f"No class activation maps: the base has no {layer}."
    as_base: Callable[[], Any] = base.context
    pair = class_maps.compared(model, base.model, as_base, layer, inputs.batches, classes)
    if not any(bool(maps.any()) for maps in pair):
        return None, f"No class activation maps: no class depends on the map of {layer}."
    return pair, f"The class activation maps are those of {layer}, by Grad-CAM."
