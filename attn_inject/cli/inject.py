"""`attn-inject MODEL --attn SPEC --out FILE`: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

import attn_inject
from attn_inject.cli import options
from attn_inject.cli.misplaced import refuse_listed_attention
from attn_inject.cli.requested import (
    EXAMPLE,
    Requested,
    model_request,
    refuse_plan_options,
    requested,
    typed_options,
)
from attn_inject.cli.working import print_notes, working
from attn_inject.display.documents import json_text
from attn_inject.display.injection_page import injection_page, weights_line
from attn_inject.display.page import write_page
from attn_inject.display.saved_page import applied_page
from attn_inject.errors import UsageError
from attn_inject.files.atomic import check_writable
from attn_inject.results import Report

EPILOG = options.examples(
    EXAMPLE,
    "attn-inject resnet50 --attn 'layer[34].*=sa' --attn se:reduction=8 --dry-run",
    "attn-inject convnext_tiny --attn eca --stage 3,4 --placement before-add --out convnext.pt --json",
    "attn-inject resnet50 --weights base.pt --apply attn.pt --out model.pt",
    "attn-inject --recipe plan.toml --out model.pt",
)


def inject(
    ctx: typer.Context,
    model: options.ModelOrRecipe = None,
    attn: options.Attention = None,
    start: options.Start = "auto",
    seed: options.Seed = 0,
    recipe: options.Recipe = None,
    apply: options.Apply = None,
    no_verify: options.NoVerify = False,
    placement: options.Placement = "after",
    where: options.Where = None,
    skip: options.Skip = None,
    stage: options.Stage = None,
    blocks: options.Blocks = "residual",
    at: options.At = None,
    stem: options.Stem = False,
    strict: options.Strict = False,
    pretrained: options.Pretrained = False,
    weights: options.Weights = None,
    weights_key: options.WeightsKey = None,
    num_classes: options.NumClasses = None,
    input_size: options.InputSize = "",
    model_arg: options.ModelArg = None,
    trust: options.Trust = False,
    out: options.Out = None,
    only: options.Only = "all",
    keep_replaced: options.KeepReplaced = False,
    check: options.Check = "full",
    dry_run: options.DryRun = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Insert an attention module into every residual block of a model, check the result, and save it.

    `attn-inject MODEL ...` is the same as `attn-inject inject MODEL ...`; options may come before MODEL.
    """
    _refuse_stray_arguments([model, *ctx.args] if model else [], attn)
    if apply is not None:
        _apply(ctx, apply, out)
        return
    if no_verify:
        raise UsageError("--no-verify goes with --apply.", hint="Use --check off to omit the checks.")
    asked = requested(ctx, recipe, trust=trust)
    if out is None and not dry_run:
        raise UsageError(
            "Nothing would be saved.", hint="Add --out FILE, or --dry-run to see only the report."
        )
    keeping = {"out": out, "force": force, "dry_run": dry_run, "only": only}
    keeping["keep_replaced"] = keep_replaced
    with working(f"loading torch and {asked.model.name}", quiet=quiet) as progress:
        reports = _carry_out(asked, {**keeping, "progress": progress})
    _tell(reports, dry_run=dry_run, as_json=as_json, quiet=quiet)


def _carry_out(asked: Requested, keeping: dict[str, Any]) -> list[Report]:
    """One plan after the other; the last result is saved."""
    *earlier, last = asked.plans
    if earlier and keeping["out"] is not None:
        check_writable(keeping["out"], force=keeping["force"])
    model: Any = asked.model
    more: dict[str, Any] = {}
    reports = []
    for plan in earlier:
        result = attn_inject.inject(model, plan, **more, progress=keeping["progress"])
        reports.append(result.report)
        model, more = result.model, {"inplace": True}
    result = attn_inject.inject(model, last, **more, **keeping)
    return [*reports, result.report]


def _apply(ctx: typer.Context, file: Path, out: Path | None) -> None:
    """Load a file of attention modules onto its base, and save the whole model."""
    refuse_plan_options(ctx, "--apply")
    if out is None:
        raise UsageError("--apply saves the whole model.", hint="Add --out FILE.")
    force, quiet = ctx.params["force"], ctx.params["quiet"]
    check_writable(out, force=force)
    request = model_request(typed_options(ctx), trust=ctx.params["trust"])
    with working(f"loading torch and {request.name}", quiet=quiet):
        verify = not ctx.params["no_verify"]
        model = attn_inject.load(file, base=request, trust=request.trust, verify=verify)
        attn_inject.save(model, out, force=force)
        content = attn_inject.describe(out)
    if ctx.params["as_json"]:
        sys.stdout.write(json_text(content))
    elif not quiet:
        write_page(applied_page(str(file), content), sys.stdout)


def _refuse_stray_arguments(arguments: list[str], attn: list[str] | None) -> None:
    refuse_listed_attention(arguments, attn)
    if len(arguments) > 1:
        raise UsageError(
            f"inject takes one model, and {', '.join(arguments)} are {len(arguments)}.",
            hint=f"For example `{EXAMPLE}`; put a glob in quotes, so that the shell does not expand it.",
        )


def _tell(reports: list[Report], *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    for report in reports:
        print_notes(report.notes, quiet=quiet)
    if as_json:
        sys.stdout.write(json_text(reports[-1].to_json()))
    elif not quiet:
        pages = [injection_page(report, dry_run=dry_run) for report in reports]
        write_page([part for page in pages for part in page], sys.stdout)
    print_notes(filter(None, [weights_line(reports[-1])]), quiet=quiet)
