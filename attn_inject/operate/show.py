"""Which page each result shows itself as; see `shown`."""

from __future__ import annotations

from attn_inject.cost.budget import Fit
from attn_inject.cost.comparison import Comparison
from attn_inject.cost.figures import Stats
from attn_inject.difference import Difference
from attn_inject.display.columns import ColumnLayout
from attn_inject.display.comparison_page import comparison_page
from attn_inject.display.diff_html import diff_fragment
from attn_inject.display.diff_page import diff_page
from attn_inject.display.fit_page import fit_page
from attn_inject.display.injection_page import injection_page
from attn_inject.display.inserted_page import inserted_page
from attn_inject.display.look_html import look_frame
from attn_inject.display.look_page import look_page
from attn_inject.display.page import for_pipe
from attn_inject.display.prune_page import prune_page
from attn_inject.display.sites_page import sites_page
from attn_inject.display.stats_page import stats_page
from attn_inject.insight.pruned import PruneReport
from attn_inject.insight.seen import Look
from attn_inject.operate.edits import Edits
from attn_inject.operate.injected import Injected
from attn_inject.operate.inserted import InsertedModules
from attn_inject.operate.prune import Pruned
from attn_inject.operate.sites import Sites
from attn_inject.results import Report
from attn_inject.shown import html_of, text_of


@text_of.register
def _(report: Report) -> str:
    return for_pipe(injection_page(report))


@text_of.register
def _(result: Injected) -> str:
    return for_pipe(injection_page(result.report, dry_run=not result.is_modified))


@text_of.register
def _(edits: Edits) -> str:
    return for_pipe(injection_page(edits.report(), dry_run=True))


@text_of.register
def _(sites: Sites) -> str:
    return for_pipe(sites_page(sites.model_name, sites))


@text_of.register
def _(modules: InsertedModules) -> str:
    return for_pipe(inserted_page(type(modules.model).__name__, modules.status()))


@text_of.register
def _(table: Stats) -> str:
    return for_pipe(stats_page(table, ColumnLayout()))


@text_of.register
def _(fit: Fit) -> str:
    return for_pipe(fit_page(fit, ""))


@text_of.register
def _(comparison: Comparison) -> str:
    return for_pipe(comparison_page(comparison))


@text_of.register
def _(difference: Difference) -> str:
    return for_pipe(diff_page(difference))


@html_of.register
def _(difference: Difference) -> str:
    return diff_fragment(difference)


@text_of.register
def _(look: Look) -> str:
    return for_pipe(look_page(look))


@html_of.register
def _(look: Look) -> str:
    return look_frame(look)


@text_of.register
def _(report: PruneReport) -> str:
    return for_pipe(prune_page(report))


@text_of.register
def _(result: Pruned) -> str:
    return for_pipe(prune_page(result.report))
