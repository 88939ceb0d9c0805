"""The public API: one function per thing that a person asks. The command line is its first user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from attn_inject.attention.factory import create_attention
from attn_inject.attention.nam import sparsity_penalty
from attn_inject.blocks.finder import find
from attn_inject.checkpoint.atomic import check_writable
from attn_inject.keeping import describe, load, save, save_checked
from attn_inject.operation import Injected, copied, operate, take
from attn_inject.outcome import Sites, Stats
from attn_inject.plan import AttentionSpec, ModelRequest, Plan, as_globs, as_specs
from attn_inject.surgery.removal import remove
from attn_inject.table import stats

__all__ = [
    "Injected",
    "Stats",
    "create_attention",
    "describe",
    "find_sites",
    "inject",
    "load",
    "remove",
    "save",
    "sparsity_penalty",
    "stats",
]

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
    strict: bool = False,
    check: str = "full",
    seed: int = 0,
    inplace: bool = False,
    example_input: Any = None,
    input_size: Sequence[int] | None = None,
    out: str | Path | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Injected:
    """Write an attention module into a model, after each residual block, and prove that it survived.

    Args:
        model: A module, a name (`resnet50`, `torchvision/resnet50`, `package.module:factory`) or a request.
        attention: `NAME`, `NAME:option=value`, `GLOB=NAME`, or several of them; the first that matches
            a site serves it.
        placement: `after`, `before-add`, `before-block`, `on-shortcut` or `after-conv`.
        where: Globs of sites to keep.
        skip: Globs of sites to leave out.
        stage: Stage numbers to keep, from 1.
        blocks: `residual`, or `family` to add sibling blocks of the same class without a shortcut.
        at: Globs of modules to take instead of residual blocks.
        start: `identity` (output bit-equal until trained), `paper`, or `auto`: identity when weights
            were loaded or a module was given.
        strict: Whether a site that cannot take its module is an error instead of a skip.
        check: `full`, `structure` or `off`.
        seed: Of new parameters and of the checks.
        inplace: Whether to edit the given module itself instead of a copy.
        example_input: A tensor, a tuple of arguments or a dictionary of keywords, for models whose
            input cannot be guessed.
        input_size: (C, H, W) in pixels.
        out: File to save to, after the checks.
        force: Whether an existing `out` may be replaced.
        dry_run: Whether to stop before anything is touched; the report is complete but for the checks.
        progress: Told what happens next.

    Raises:
        UnknownNameError: No such model, module, option or placement.
        ModelError: The model cannot be built or run.
        NoSiteError: Nothing in the model matches.
        FitError: Nothing that matches can take its module.
        CheckFailedError: The operated model failed a check; nothing was saved.
        FileError: `out` cannot be written.
    """
    plan = Plan(
        attention=as_specs(attention),
        placement=placement,
        where=as_globs(where),
        skip=as_globs(skip),
        stages=(stage,) if isinstance(stage, int) else tuple(stage),
        blocks=blocks,
        at=as_globs(at),
        start=start,
        strict=strict,
        check=check,
        seed=seed,
    )
    say = progress or (lambda _: None)
    if out is not None and not dry_run:
        check_writable(out, force=force)
    say("building the model")
    loaded = take(model, outline=dry_run, example_input=example_input, input_size=input_size, seed=seed)
    if isinstance(model, nn.Module) and not inplace and not dry_run:
        loaded = copied(loaded)
    result = operate(loaded, plan, name=_name_of(model), dry_run=dry_run, say=say)
    if out is None or dry_run:
        return result
    say("saving")
    return save_checked(result, out, force=force)


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
    loaded = take(model, outline=True, example_input=example_input, input_size=input_size)
    return find(loaded.model, loaded.inputs, blocks=blocks, at=as_globs(at)).sites


def _name_of(model: nn.Module | str | ModelRequest) -> str:
    if isinstance(model, nn.Module):
        return type(model).__name__
    return model if isinstance(model, str) else model.name
