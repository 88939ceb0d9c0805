"""The result of an injection: a modified model with its edits and report."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from attn_inject.cost.cost import Cost
from attn_inject.difference import Difference
from attn_inject.models.clone import to_meta
from attn_inject.models.loaded import LoadedModel
from attn_inject.operate.diff import difference_made
from attn_inject.request import Plan
from attn_inject.results import Report
from attn_inject.shown import Shown
from attn_inject.sites.site import Rejection, Site
from attn_inject.surgery.apply import apply_edits
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.inserted import recorded_edits
from attn_inject.surgery.origin import origin_of


@dataclass(frozen=True, kw_only=True, repr=False)
class Injected(Shown):
    """A modified model with the edits and the report.

    Attributes:
        model: The modified model; after a dry run the untouched one.
        report: What was inserted, checked and counted.
        edits: The edits, enough to repeat them on an empty copy of the architecture.
        loaded: The model's source, and how to call it.
        plan: What was asked.
    """

    model: nn.Module
    report: Report
    edits: tuple[Edit, ...]
    loaded: LoadedModel
    plan: Plan

    def __repr__(self) -> str:
        """One line, since the attributes' own would fill pages."""
        report = self.report
        what = f"{len(report.insertions)} x {', '.join(report.attention)}"
        params = f"{report.base.params:,} parameters became {report.result.params:,}"
        passed = sum(check.passed for check in report.checks)
        return f"<Injected {report.model}: {what}; {params}; {passed} of {len(report.checks)} checks passed>"

    @property
    def is_modified(self) -> bool:
        """Whether the modules are in the model; False after a dry run."""
        return origin_of(self.model) is not None and bool(recorded_edits(self.model))

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites at which modules were inserted."""
        return tuple(insertion.site for insertion in self.report.insertions)

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """Candidates that are not sites, and sites that were skipped, with reasons."""
        return self.report.rejected

    def diff(self) -> Difference:
        """What was changed, or after a dry run would be: code, keys and costs; see `attn_inject.diff`."""
        model = self.model
        if not self.is_modified:
            model = to_meta(model)
            apply_edits(model, self.edits)
        return difference_made(model, self.edits, self.report)

    @property
    def cost(self) -> Cost:
        """What the modules add to the cost."""
        return self.report.delta
