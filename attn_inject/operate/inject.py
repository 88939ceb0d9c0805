"""The main function: insert attention into a model, or find where it could be inserted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from attn_inject.files.atomic import check_writable
from attn_inject.files.formats import check_suffix
from attn_inject.models.loaded import LoadedModel
from attn_inject.operate.containment import contained
from attn_inject.operate.edits import Edits, plan_edits
from attn_inject.operate.injected import Injected
from attn_inject.operate.load_model import copied, load_model, name_of
from attn_inject.operate.progress import ProgressCallback, logged
from attn_inject.operate.saving import save_checked
from attn_inject.operate.searched import SearchedModel
from attn_inject.operate.sites import Sites
from attn_inject.request import Attention, ModelRequest, Plan, PlanOptions, as_globs, check_kept
from attn_inject.sites.finder import find
from attn_inject.surgery.decide import search


@contained()
def inject(
    model: nn.Module | str | ModelRequest,
    attention: Attention | Plan,
    *,
    inplace: bool = False,
    example_input: Any = None,
    input_size: Sequence[int] | None = None,
    out: str | Path | None = None,
    only: str = "all",
    keep_replaced: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: ProgressCallback | None = None,
    **options: Unpack[PlanOptions],
) -> Injected:
    """Insert an attention module into a model, after each residual block, and prove that it survived.

    Args:
        model: A module, a name (`resnet50`, `package.module:factory`, a saved file) or a request.
        attention: `NAME`, `NAME:option=value`, `GLOB=NAME`, a class, or several; the first whose glob
            matches a site is used there. Or a whole `Plan`.
        inplace: Whether to edit the given module itself instead of a copy.
        example_input: A tensor, a tuple of arguments or a dictionary of keywords; or `input_size`,
            (C, H, W) in pixels.
        out: File to save to, after the checks; `only="attention"` saves only the attention and
            `keep_replaced` also the replaced tensors (see `save`), `force` replaces an existing file.
        dry_run: Whether to stop before anything is changed; `progress` receives a sentence about each step.
        options: The fields of a `Plan`: `placement`, a key of `request.PLACEMENTS`; `where` and `skip`,
            globs of sites to keep and to leave out; `stage`, numbers to keep, from 1; `blocks`,
            `residual`, or `family` to add siblings of the same class without a shortcut; `at`, globs of
            modules to take instead of residual blocks; `start`, `identity` (bit-equal until trained),
            `paper`, or `auto`: identity if there are weights; `stem`, whether to replace the stem, too
            (`replace-conv` with SASA); `strict`, whether a site that cannot take its module is an error
            instead of a skip; `check`, `full`, `structure` or `off`; `seed` of the checks and of new
            parameters.

    Raises:
        AttnInjectError: One of its subclasses: something was not found, does not fit, failed a check or
            could not be saved.
    """
    plan = Plan.of(attention, **options)
    say = logged(progress)
    check_kept(only)
    if out is not None and not dry_run:
        check_suffix(out)
        check_writable(out, force=force)
    say("building the model")
    how = {"example_input": example_input, "input_size": input_size, "seed": plan.seed}
    loaded = load_model(model, shapes_only=dry_run, **how)
    if isinstance(model, nn.Module) and not inplace and not dry_run:
        loaded = copied(loaded)
    edits = _edits(name_of(model), loaded, plan, say)
    if dry_run:
        return edits.preview()
    result = edits.apply(progress=progress)
    if out is None:
        return result
    say("saving")
    return save_checked(result, out, only=only, keep_replaced=keep_replaced, force=force)


@contained()
def _edits(name: str, loaded: LoadedModel, plan: Plan, say: ProgressCallback) -> Edits:
    """The edits of a plan for a model object that is edited in place."""
    say("finding residual blocks")
    found = search(loaded.model, loaded.inputs, plan)
    searched = SearchedModel(name, loaded, found, reload=lambda: loaded)
    edits = plan_edits(searched, plan, has_weights=loaded.has_weights)
    say("counting cost")
    edits.count()
    return edits


@contained()
def find_sites(
    model: nn.Module | str | ModelRequest,
    *,
    blocks: str = "residual",
    at: str | Sequence[str] = (),
    example_input: Any = None,
    input_size: Sequence[int] | None = None,
) -> Sites:
    """Where attention can be inserted, and what was rejected and why; changes nothing.

    Args:
        model: A module, a name or a request.
        blocks: `residual` or `family`.
        at: Globs of modules to take instead of residual blocks.
        example_input: See `inject`.
        input_size: (C, H, W) in pixels.

    Raises:
        UnknownNameError: No such model.
        ModelError: The model cannot be built or run.
        NoSiteError: A glob of `at` matches no module.
    """
    how = {"example_input": example_input, "input_size": input_size}
    loaded = load_model(model, shapes_only=True, **how)
    findings = find(loaded.model, loaded.inputs, blocks=blocks, at=as_globs(at))

    def reload() -> Any:
        return copied(loaded) if isinstance(model, nn.Module) else load_model(model, **how)

    searched = SearchedModel(name_of(model), loaded, findings, reload=reload)
    sites = (found.site for found in findings.found)
    return Sites(searched, sites, blocks=blocks, at=as_globs(at))
