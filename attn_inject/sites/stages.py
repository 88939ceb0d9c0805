"""The stages of a backbone, as its authors count them.

A stage begins where the map's size changes. A backbone of a smaller output stride keeps the size and dilates
its convolutions instead: there a stage begins with a container of blocks whose largest dilation is larger
than any before, or, in one flat list, with a block of another width and a larger dilation. Where the authors
list the ends of their stages (timm's `feature_info`), another width behind such an end is enough.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import nn

from attn_inject.sites.findings import FoundSite
from attn_inject.sites.site import Site

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass
class _Stage:
    """The latest stage of one size of map."""

    number: int
    last: Site
    dilation: int


def with_stages(found: Sequence[FoundSite], modules: Mapping[str, nn.Module]) -> list[FoundSite]:
    """The sites with the numbers of their stages, from 1, in the order in which the stages first appear.

    Args:
        found: Sites in the order in which they first ran.
        modules: Every module of the model by name.
    """
    latest: dict[tuple[int | None, int | None], _Stage] = {}
    ends = _Ends(modules)
    numbered = []
    count = 0
    before: _Stage | None = None
    for item in found:
        site = item.site
        stage = latest.get((site.height, site.width))
        container = _container(site.name, stage.last.name) if stage else site.name
        dilation = _largest_dilation(modules[container])
        # A map that returns to an earlier size, as in a U-Net, returns to that size's stage.
        if stage is None or (stage is before and _begins(site, container, dilation, stage, ends)):
            count += 1
            stage = latest[site.height, site.width] = _Stage(count, site, dilation)
        stage.last, stage.dilation = site, max(dilation, stage.dilation)
        before = stage
        numbered.append(dataclasses.replace(item, site=dataclasses.replace(site, stage=stage.number)))
    return numbered


def _container(name: str, before: str) -> str:
    """The outermost module that holds the site `name` and not the one before it."""
    parts, others = name.split("."), before.split(".")
    shared = 0
    while shared < min(len(parts), len(others)) - 1 and parts[shared] == others[shared]:
        shared += 1
    return ".".join(parts[: shared + 1])


def _begins(site: Site, container: str, dilation: int, stage: _Stage, ends: _Ends) -> bool:
    is_wider = site.channels != stage.last.channels
    grows = dilation > stage.dilation
    return (grows and (is_wider or container != site.name)) or (is_wider and ends.between(stage.last, site))


def _largest_dilation(module: nn.Module) -> int:
    found = (m for m in module.modules() if isinstance(m, _CONVOLUTIONS) and max(m.kernel_size) > 1)
    return max((max(m.dilation) for m in found), default=1)


class _Ends:
    """Where the authors say that stages end, as places among the model's modules."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._places = {name: place for place, name in enumerate(modules)}
        self._ends: list[tuple[str, int]] = []
        for name, module in modules.items():
            for entry in _told(module):
                end = f"{name}.{entry}" if name else entry
                if end in modules:
                    last = self._places[end] + sum(1 for _ in modules[end].modules()) - 1
                    self._ends.append((end, last))

    def between(self, first: Site, second: Site) -> bool:
        """Whether a stage ends behind the first site and before the second's end."""
        begin, end = self._places[first.name], self._places[second.name]
        return any(
            (begin <= last < end and not name.startswith(f"{first.name}."))
            or name.startswith(f"{second.name}.")
            for name, last in self._ends
        )


def _told(module: nn.Module) -> Iterator[str]:
    """The names that a module's `feature_info` gives to the ends of stages."""
    info: Any = getattr(module, "feature_info", None)
    listed = getattr(info, "info", info)
    entries = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    for entry, following in pairwise([*entries, {}]):
        # A transformer lists every block.
        if any(entry.get(key) != following.get(key) for key in ("num_chs", "reduction")):
            yield str(entry.get("module"))
