"""The sites of a model: a sequence to select from, and then insert attention at.

A selection is resolved to names at once, so that edits are plain data that a file can hold.
"""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypedDict, Unpack, overload

from attn_inject.errors import NoSiteError, UsageError, nearest
from attn_inject.operate.containment import contained
from attn_inject.operate.edits import Edits, plan_edits
from attn_inject.operate.searched import SearchedModel
from attn_inject.request import Attention, Plan
from attn_inject.shown import Shown
from attn_inject.sites.site import Rejection, Site


class InsertOptions(TypedDict, total=False):
    """The fields of a `Plan` that do not choose sites; see there."""

    placement: str
    start: str
    stem: bool
    strict: bool
    check: str
    seed: int


class Sites(Sequence[Site], Shown):
    """Sites of one model, in the order in which they first run; every selection is again such a sequence.

    Attributes:
        rejected: Candidates that are not sites, with reasons; the same for every selection.
    """

    def __init__(self, searched: SearchedModel, sites: Iterable[Site], *, blocks: str, at: tuple[str, ...]):
        self._searched = searched
        self._sites = tuple(sites)
        self._search: dict[str, Any] = {"blocks": blocks, "at": at}

    @property
    def model_name(self) -> str:
        """What the user calls the model."""
        return self._searched.name

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites as a plain tuple."""
        return self._sites

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """Candidates that are not sites, with reasons."""
        return self._searched.findings.rejected

    def __len__(self) -> int:
        return len(self._sites)

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites)

    @overload
    def __getitem__(self, index: int) -> Site: ...
    @overload
    def __getitem__(self, index: slice) -> Sites: ...
    def __getitem__(self, index: int | slice) -> Site | Sites:
        return self._chosen(self._sites[index]) if isinstance(index, slice) else self._sites[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sites) and self._sites == other._sites

    def __hash__(self) -> int:
        return hash(self._sites)

    def __repr__(self) -> str:
        return f"<{len(self)} sites of {self._searched.name}, {len(self.rejected)} candidates rejected>"

    def named(self, *globs: str) -> Sites:
        """The sites whose name matches a glob, `layer[34].*`.

        Raises:
            NoSiteError: A glob matches none of these sites; the nearest names are in the hint.
        """
        names = [site.name for site in self]
        for pattern in globs:
            if not fnmatch.filter(names, pattern):
                raise NoSiteError(
                    f"{pattern!r} matches none of these {len(names)} sites.",
                    hint=f"The nearest are {', '.join(nearest(pattern, names))}.",
                )
        return self.where(lambda site: any(fnmatch.fnmatchcase(site.name, pattern) for pattern in globs))

    def of(self, *block_types: str | type) -> Sites:
        """The sites whose block is of a class, given as a class or by its name."""
        names = {kind if isinstance(kind, str) else kind.__name__ for kind in block_types}
        return self.where(lambda site: site.block in names)

    def stages(self, *numbers: int) -> Sites:
        """The sites of the stages with these numbers, from 1."""
        return self.where(lambda site: site.stage in numbers)

    def last(self) -> Sites:
        """The last site of each stage."""
        return self._chosen({site.stage: site for site in self}.values())

    def where(self, keep: Callable[[Site], bool]) -> Sites:
        """The sites for which `keep` returns True; it is called at once."""
        return self._chosen(site for site in self if keep(site))

    def require(self, count: int) -> Sites:
        """The same sites, if there are exactly `count`.

        Raises:
            NoSiteError: There are more or fewer.
        """
        if len(self) != count:
            shown = ", ".join(site.name for site in self[:4]) or "none"
            more = f" and {len(self) - 4} more" if len(self) > 4 else ""
            raise NoSiteError(
                f"{count} sites are required, and there are {len(self)}: {shown}{more}.",
                hint="print(attn_inject.find_sites(model)) lists all.",
            )
        return self

    def __or__(self, other: Sites) -> Sites:
        return self._combined(other, lambda site: site in self._sites or site in other._sites)

    def __and__(self, other: Sites) -> Sites:
        return self._combined(other, lambda site: site in self._sites and site in other._sites)

    def __sub__(self, other: Sites) -> Sites:
        return self._combined(other, lambda site: site in self._sites and site not in other._sites)

    @contained()
    def insert(self, attention: Attention, **options: Unpack[InsertOptions]) -> Edits:
        """Decide what is inserted at these sites; nothing is changed until `apply` of the result is called.

        Args:
            attention: One spec or several; the first whose glob matches a site is used there.
            options: `placement`, `start`, `stem`, `strict`, `check` and `seed`, as in `inject`.

        Raises:
            NoSiteError: There is no site.
            FitError: No site can take its module, or (`strict`) one of them cannot.
            UsageError: The options disagree.
        """
        if not self:
            raise NoSiteError("There is no site to insert at.", hint="The selection is empty.")
        if options.get("placement") == "replace-attention" and not self._search["at"]:
            raise UsageError(
                "These sites are residual blocks, not attention that could be replaced.",
                hint="inject(model, ..., placement='replace-attention') finds it, or name it: at=GLOB.",
            )
        where = [glob.escape(site.name) for site in self]
        plan = Plan.of(attention, **self._search, where=where, **options)
        return plan_edits(self._searched, plan, has_weights=self._searched.loaded.has_weights)

    def _chosen(self, sites: Iterable[Site]) -> Sites:
        return Sites(self._searched, sites, **self._search)

    def _combined(self, other: Sites, keep: Callable[[Site], bool]) -> Sites:
        if not isinstance(other, Sites):
            return NotImplemented
        if self._searched is not other._searched:
            raise UsageError(
                "The selections come from two searches.", hint="Take both from one find_sites(model)."
            )
        every = self._searched.findings.found
        return self._chosen(found.site for found in every if keep(found.site))
