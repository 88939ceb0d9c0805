"""Pictures of where each placement acts in a block of a model, from the graphs that the tool edits."""

from __future__ import annotations

import dataclasses
import glob
from collections import Counter
from collections.abc import Sequence

from torch import nn

from attn_inject.block_graph import BlockGraph
from attn_inject.display.block_picture import picture
from attn_inject.errors import AttnInjectError, NoSiteError, nearest
from attn_inject.models.clone import to_meta
from attn_inject.operate.containment import contained
from attn_inject.operate.edits import plan_edits
from attn_inject.operate.load_model import load_model, name_of
from attn_inject.operate.searched import SearchedModel
from attn_inject.request import PLACEMENTS, ModelRequest, Plan
from attn_inject.surgery.apply import apply_edits
from attn_inject.surgery.block_steps import block_graph
from attn_inject.surgery.decide import search

DRAWN = tuple(name for name in PLACEMENTS if name != "paper")
_MODULE = "simam"  # any module serves; this one fits every map


def placement_graphs(
    model: nn.Module | str | ModelRequest,
    *,
    site: str = "",
    placements: Sequence[str] = DRAWN,
    blocks: str = "residual",
) -> tuple[BlockGraph, ...]:
    """The graphs that `draw_placements` draws."""
    loaded = load_model(model, shapes_only=True)
    plan = Plan.of(_MODULE, check="off", start="paper", blocks=blocks)
    name = name_of(model)
    searched = SearchedModel(name, loaded, search(loaded.model, loaded.inputs, plan), reload=lambda: loaded)
    site = _known(searched, site) if site else _commonest(searched)
    block = loaded.model.get_submodule(site)
    try:
        graphs = [block_graph(f"{site}, {type(block).__name__}", block)]
    except Exception as error:
        raise NoSiteError(
            f"The forward of {site} cannot be traced, so there is no graph to draw: {type(error).__name__}.",
            hint="--placement after works there all the same.",
        ) from error
    for placement in placements:
        if (graph := _modified(searched, dataclasses.replace(plan, placement=placement), site)) is not None:
            graphs.append(graph)
    return tuple(graphs)


def _known(searched: SearchedModel, site: str) -> str:
    names = [found.site.name for found in searched.findings.found]
    if site not in names:
        hint = f"The nearest are {', '.join(nearest(site, names))}." if names else "See attn-inject sites."
        raise NoSiteError(f"{searched.name} has no site called {site!r}.", hint=hint)
    return site


def _commonest(searched: SearchedModel) -> str:
    """The first site of the commonest class."""
    sites = [found.site for found in searched.findings.found]
    if not sites:
        raise NoSiteError(f"{searched.name} has no residual block to draw.", hint="See attn-inject sites.")
    [(kind, _)] = Counter(site.block for site in sites).most_common(1)
    return next(site.name for site in sites if site.block == kind)


def _modified(searched: SearchedModel, plan: Plan, site: str) -> BlockGraph | None:
    """The block with attention; None if it cannot take a placement."""
    where = glob.escape(site)
    plan = dataclasses.replace(plan, where=(where,))
    try:
        if plan.placement == "replace-attention":
            plan = dataclasses.replace(plan, where=(f"{where}.*",))
            found = search(searched.model, searched.loaded.inputs, plan)
            searched = dataclasses.replace(searched, searched=found)
        edits = [edit for edit in plan_edits(searched, plan, has_weights=False) if _is_in(edit.name, site)]
        model = to_meta(searched.model)
        apply_edits(model, edits)
        fixed = {key: value for edit in edits if edit.name == site for key, value in edit.specialized.items()}
        return block_graph(plan.placement, model.get_submodule(site), fixed)
    except AttnInjectError:
        return None


def _is_in(name: str, site: str) -> bool:
    return name == site or name.startswith(f"{site}.")


@contained()
def draw_placements(
    model: nn.Module | str | ModelRequest,
    *,
    site: str = "",
    placements: Sequence[str] = DRAWN,
    blocks: str = "residual",
) -> str:
    """A picture of where each placement acts in a block of a model, an SVG that is legible in light and dark.

    It is drawn from the graph that torch.fx traces and the tool edits: first the block as it is, then with
    attention at each placement that it can take.

    Args:
        model: A module, a name or a request.
        site: The block's name; by default the first of the commonest class.
        placements: Keys of `request.PLACEMENTS` other than `paper`.
        blocks: As for `find_sites`.

    Raises:
        NoSiteError: There is no such block, or torch.fx cannot trace it.
        UnknownNameError: No such model.
        ModelError: The model cannot be built or run.
    """
    return picture(placement_graphs(model, site=site, placements=placements, blocks=blocks))
