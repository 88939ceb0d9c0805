"""`attn-inject MODEL --attn SPEC --out FILE`: the main job."""

from __future__ import annotations

import sys
from typing import Any

import typer

import attn_inject
from attn_inject.cli import options
from attn_inject.cli.working import print_notes, working
from attn_inject.errors import UsageError
from attn_inject.outcome import Report
from attn_inject.plan import Plan
from attn_inject.report.documents import json_text
from attn_inject.report.injection import injection_page
from attn_inject.report.page import write_page

EXAMPLE = "attn-inject resnet50 --attn ela-l --out model.pt"
EPILOG = options.examples(
    EXAMPLE,
    "attn-inject resnet50 --attn 'layer[34].*=sa' --attn se:reduction=8 --dry-run",
    "attn-inject convnext_tiny --attn eca --stage 3,4 --placement before-add --out convnext.pt --json",
)


def inject(
    ctx: typer.Context,
    model: options.ModelName,
    attn: options.Attention = None,
    start: options.Start = "auto",
    seed: options.Seed = 0,
    placement: options.Placement = "after",
    where: options.Where = None,
    skip: options.Skip = None,
    stage: options.Stage = "",
    blocks: options.Blocks = "residual",
    at: options.At = None,
    stem: options.Stem = False,
    strict: options.Strict = False,
    pretrained: options.Pretrained = False,
    weights: options.Weights = None,
    num_classes: options.NumClasses = None,
    input_size: options.InputSize = "",
    model_arg: options.ModelArg = None,
    out: options.Out = None,
    check: options.Check = "full",
    dry_run: options.DryRun = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write an attention module into every residual block of a model, prove it, and save it.

    `attn-inject MODEL ...` is the same as `attn-inject inject MODEL ...`; options may stand before MODEL.
    """
    _refuse_stray_arguments([model, *ctx.args], attn)
    specs = options.parse_attention(attn)
    if out is None and not dry_run:
        raise UsageError(
            "Nothing would be kept.", hint="Add --out FILE, or --dry-run to see the report alone."
        )
    request = options.model_request(
        model,
        pretrained=pretrained,
        weights=weights,
        num_classes=num_classes,
        input_size=input_size,
        model_arg=model_arg,
    )
    wishes: dict[str, Any] = options.selection(placement, where, skip, blocks, at, start)
    wishes |= {"stem": stem, "strict": strict, "check": check, "seed": seed}
    stages = options.parse_stages(stage)
    Plan(attention=specs, stages=stages, **wishes)
    with working(f"loading torch and {model}", quiet=quiet) as progress:
        result = attn_inject.inject(
            request, specs, stage=stages, **wishes, out=out, force=force, dry_run=dry_run, progress=progress
        )
    _tell(result.report, dry_run=dry_run, as_json=as_json, quiet=quiet)


def _refuse_stray_arguments(arguments: list[str], attn: list[str] | None) -> None:
    options.refuse_listed_attention(arguments, attn)
    if len(arguments) > 1:
        raise UsageError(
            f"One model at a time, and {', '.join(arguments)} are {len(arguments)}.",
            hint=f"For example `{EXAMPLE}`; put a glob in quotes, so that the shell hands it on.",
        )
    if not attn:
        raise UsageError("No attention module is named.", hint=f"Add --attn NAME, for example `{EXAMPLE}`.")


def _tell(report: Report, *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    print_notes(report.notes, quiet=quiet)
    if as_json:
        sys.stdout.write(json_text(report.to_json()))
    elif not quiet:
        write_page(injection_page(report, dry_run=dry_run), sys.stdout)
