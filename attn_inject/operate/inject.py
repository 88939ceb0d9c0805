"""The public API: one function per thing that a person asks. The command line is its first user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from attn_inject.files.atomic import check_writable
from attn_inject.files.formats import check_suffix
from attn_inject.operate.pipeline import Injected, copied, load_model, modify
from attn_inject.operate.saving import save_checked
from attn_inject.request import AttentionSpec, ModelRequest, as_globs, check_kept, make_plan
from attn_inject.sites.finder import find
from attn_inject.sites.site import Sites

Attention = str | AttentionSpec | Sequence[str | AttentionSpec]


def inject(
    model: nn.Module | str | ModelRequest,
    attention: Attention,
    *,
    placement: str = "after",
    where: str | Sequence[str] = (),
    skip: str | Sequence[str] = (),
    stage: int | Sequence[int] = (),
    blocks: str = "residual",
    at: str | Sequence[str] = (),
    start: str = "auto",
    stem: bool = False,
    strict: bool = False,
    check: str = "full",
    seed: int = 0,
    inplace: bool = False,
    example_input: Any = None,
    input_size: Sequence[int] | None = None,
    out: str | Path | None = None,
    only: str = "all",
    keep_replaced: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Injected:
    """Write an attention module into a model, after each residual block, and prove that it survived.

    Args:
        model: A module, a name (`resnet50`, `package.module:factory`, a saved file) or a request.
        attention: `NAME`, `NAME:option=value`, `GLOB=NAME`, or several; the first that matches serves.
        placement: A key of `plan.PLACEMENTS`.
        where: Globs of sites to keep; `skip` those to leave out, `stage` numbers to keep, from 1.
        blocks: `residual`, or `family` to add siblings of the same class without a shortcut.
        at: Globs of modules to take instead of residual blocks.
        start: `identity` (bit-equal until trained), `paper`, or `auto`: identity if there are weights.
        stem: Whether to replace the stem too (`replace-conv` with SASA).
        strict: Whether a site that cannot take its module is an error instead of a skip.
        check: `full`, `structure` or `off`; `seed` is of the checks and of new parameters.
        inplace: Whether to edit the given module itself instead of a copy.
        example_input: A tensor, a tuple of arguments or a dictionary of keywords; or `input_size`,
            (C, H, W) in pixels.
        out: File to save to, after the checks; `only="attention"` keeps just that and
            `keep_replaced` what was replaced (see `save`), `force` lets it replace another.
        dry_run: Whether to stop before anything is touched; `progress` is told what happens next.

    Raises:
        AttnInjectError: Its subclasses say what could not be had, found, fitted, proven or written.
    """
    more = {"stem": stem, "strict": strict, "check": check, "seed": seed}
    plan = make_plan(attention, placement, where, skip, stage, blocks, at, start, **more)
    progress = progress or (lambda _: None)
    check_kept(only)
    if out is not None and not dry_run:
        check_suffix(out)
        check_writable(out, force=force)
    progress("building the model")
    loaded = load_model(
        model, shapes_only=dry_run, example_input=example_input, input_size=input_size, seed=seed
    )
    if isinstance(model, nn.Module) and not inplace and not dry_run:
        loaded = copied(loaded)
    result = modify(loaded, plan, name=_name_of(model), dry_run=dry_run, progress=progress)
    if out is None or dry_run:
        return result
    progress("saving")
    return save_checked(result, out, only=only, keep_replaced=keep_replaced, force=force)


def find_sites(
    model: nn.Module | str | ModelRequest,
    *,
    blocks: str = "residual",
    at: str | Sequence[str] = (),
    example_input: Any = None,
    input_size: Sequence[int] | None = None,
) -> Sites:
    """Where attention would be written in, and what was refused and why; changes nothing.

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
    loaded = load_model(model, shapes_only=True, example_input=example_input, input_size=input_size)
    return find(loaded.model, loaded.inputs, blocks=blocks, at=as_globs(at)).sites


def _name_of(model: nn.Module | str | ModelRequest) -> str:
    if isinstance(model, nn.Module):
        return type(model).__name__
    return model if isinstance(model, str) else model.name
