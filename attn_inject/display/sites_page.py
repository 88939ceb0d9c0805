"""The sites of a model and its rejected candidates, for people and as a document."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from attn_inject.display.grid import Table
from attn_inject.display.numbers import plural
from attn_inject.display.page import Part
from attn_inject.display.rejections import rejection_grid
from attn_inject.sites.site import Rejection, Site


class Found(Protocol):
    """Sites and rejected candidates."""

    @property
    def sites(self) -> tuple[Site, ...]:
        """What was found."""

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """What was not, with reasons."""


def sites_page(model: str, found: Found) -> list[Part]:
    """The page that `sites` prints: every site, then the rejections grouped by reason."""
    page: list[Part] = [
        f"{plural(len(found.sites), 'site')} in {model}, {plural(len(found.rejected), 'candidate')} rejected"
    ]
    if found.sites:
        page.append(site_grid(found.sites))
    if found.rejected:
        page.append(rejection_grid(found.rejected))
    return page


def site_grid(sites: tuple[Site, ...]) -> Table:
    """One row per site."""
    rows = [
        (site.name, site.block, str(site.stage), site.layout, str(site.channels), site.size, _remarks(site))
        for site in sites
    ]
    return Table.of("site|block|>stage|layout|>channels|>size|remarks", rows).without_empty_columns()


def _remarks(site: Site) -> str:
    remarks = [f"{site.prefix} class or register tokens"] if site.prefix else []
    if site.suffix:
        remarks.append(f"{site.suffix} tokens behind the grid")
    if site.calls > 1:
        remarks.append(f"called {site.calls} times")
    if site.element is not None:
        remarks.append(f"element {site.element} of the output")
    return ", ".join(remarks)


def sites_document(model: str, found: Found) -> dict[str, Any]:
    """The document of `sites --json`: `model`, `sites`, and `rejected` with `name`, `code` and `reason`."""
    return {
        "model": model,
        "sites": [dataclasses.asdict(site) for site in found.sites],
        "rejected": [dataclasses.asdict(rejection) for rejection in found.rejected],
    }
