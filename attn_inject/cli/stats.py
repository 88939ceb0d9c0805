"""`attn-inject stats [MODEL ...] [--attn NAME ...]`: what attention costs, before anything is trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import attn_inject
from attn_inject.checkpoint.atomic import atomic_write, check_writable
from attn_inject.cli import options
from attn_inject.cli.options import OUTPUT
from attn_inject.cli.working import working
from attn_inject.errors import UsageError, unknown_name
from attn_inject.outcome import Stats
from attn_inject.plan import Plan, as_specs
from attn_inject.report.page import write_page
from attn_inject.report.stats import FORMATS, SUFFIXES, stats_page, stats_text

EPILOG = options.examples(
    "attn-inject stats",
    "attn-inject stats resnet50 mobilenetv2_100 --attn se --attn ela-l --format markdown",
    "attn-inject stats resnet50 --placement before-add --out costs.csv",
)

Models = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODEL", help="As for inject; resnet50 if none is named.", show_default=False),
]
Form = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="|".join(FORMATS),
        help="How the table is written; --out's suffix decides otherwise.",
        autocompletion=lambda: list(FORMATS.items()),
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


def stats(
    models: Models = None,
    attn: options.AttentionOrAll = None,
    start: options.Start = "paper",
    placement: options.Placement = "after",
    where: options.Where = None,
    skip: options.Skip = None,
    stage: options.Stage = "",
    blocks: options.Blocks = "residual",
    at: options.At = None,
    num_classes: options.NumClasses = None,
    input_size: options.InputSize = "",
    model_arg: options.ModelArg = None,
    trust: options.Trust = False,
    form: Form = "",
    out: options.Out = None,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Count parameters, flops and activations of attention modules on models; resnet50 and all by default.

    Nothing is trained, fetched or saved. One flop is one multiply-add, as fvcore counts.
    """
    form = resolve_format(form, out, as_json=as_json)
    if out is not None:
        check_writable(out, force=force)
    names = models or ["resnet50"]
    options.refuse_listed_attention(names, attn)
    specs = options.parse_attention(attn)
    wishes = options.selection(placement, where, skip, blocks, at, start)
    stages = options.parse_stages(stage)
    Plan(attention=specs or as_specs("se"), stages=stages, **wishes)
    requests = [
        options.model_request(
            name, num_classes=num_classes, input_size=input_size, model_arg=model_arg, trust=trust
        )
        for name in names
    ]
    with working(f"loading torch and counting {', '.join(names)}", quiet=quiet):
        table = attn_inject.stats(requests, [str(spec) for spec in specs] or None, stage=stages, **wishes)
    if out is not None:
        with atomic_write(out, force=force) as file:
            file.write(stats_text(table, form).encode())
    if as_json:
        sys.stdout.write(stats_text(table, "json"))
    elif out is None and not quiet:
        _print(table, form)


def resolve_format(form: str, out: Path | None, *, as_json: bool) -> str:
    """Which of `FORMATS` the table takes, by `--format`, else `--out`'s suffix, else `--json`.

    Raises:
        UsageError: Two of them disagree, or `--out` has no known suffix.
        UnknownNameError: There is no such format.
    """
    if form and form not in FORMATS:
        raise unknown_name("format", form, FORMATS)
    if out is None:
        if as_json and form not in ("", "json"):
            raise UsageError(f"--json and --format {form} disagree.", hint="Leave one of them out.")
        return "json" if as_json else form or "table"
    if not form and out.suffix not in SUFFIXES:
        raise UsageError(
            f"{out.name} has no suffix that names a format.",
            hint=f"End it in one of {', '.join(SUFFIXES)}, or add --format.",
        )
    return form or SUFFIXES[out.suffix]


def _print(table: Stats, form: str) -> None:
    if form == "table":
        write_page(stats_page(table), sys.stdout)
    else:
        sys.stdout.write(stats_text(table, form))
