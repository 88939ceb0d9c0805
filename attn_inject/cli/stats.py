"""`attn-inject stats [MODEL ...] [--attn NAME ...]`: what attention costs, before anything is trained."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

import attn_inject
from attn_inject.cli import options, table_options
from attn_inject.cli.misplaced import refuse_listed_attention
from attn_inject.cli.requested import site_options
from attn_inject.cli.working import print_notes, working
from attn_inject.cost.budget import QUANTITIES, Budget
from attn_inject.cost.figures import Stats
from attn_inject.display.columns import ColumnLayout, parse_columns, require_column
from attn_inject.display.comparison_page import comparison_page
from attn_inject.display.documents import json_text
from attn_inject.display.page import write_page
from attn_inject.display.plot import check_plot, draw
from attn_inject.display.stats_page import FORMATS, SUFFIXES, arranged, stats_page, stats_text
from attn_inject.errors import UsageError, unknown_name
from attn_inject.files.atomic import atomic_write, check_writable
from attn_inject.request import DTYPES, ModelRequest, Plan

EPILOG = options.examples(
    "attn-inject stats",
    "attn-inject stats resnet50 mobilenetv2_100 --attn se --attn ela-l --format markdown",
    "attn-inject stats 'resnet*' --attn eca --sort -flops --out costs.csv",
    "attn-inject stats resnet50 --max-params +1% --max-latency +5%",
    "attn-inject stats resnet50 --plot costs.svg",
    "attn-inject stats --compare before.pt after.pt",
)


_COUNTED = ("per_site", "latency", "memory", "device", "batch_size", "dtype", "compile", "strict")


def stats(
    ctx: typer.Context,
    models: table_options.Models = None,
    attn: options.AttentionOrAll = None,
    start: options.Start = "paper",
    placement: options.Placement = "after",
    where: options.Where = None,
    skip: options.Skip = None,
    stage: options.Stage = None,
    blocks: options.Blocks = "residual",
    at: options.At = None,
    num_classes: options.NumClasses = None,
    input_size: options.InputSize = "",
    model_arg: options.ModelArg = None,
    trust: options.Trust = False,
    max_params: table_options.MaxParams = "",
    max_flops: table_options.MaxFlops = "",
    max_activations: table_options.MaxActivations = "",
    max_latency: table_options.MaxLatency = "",
    latency: table_options.Latency = False,
    memory: table_options.Memory = False,
    device: table_options.Device = "cpu",
    batch_size: table_options.BatchSize = 1,
    dtype: table_options.Dtype = "float32",
    compile: table_options.Compile = False,
    sort: table_options.Sort = "",
    top: table_options.Top = None,
    columns: table_options.Columns = "",
    relative: table_options.Relative = False,
    per_site: table_options.PerSite = False,
    compare: table_options.Compare = False,
    strict: table_options.Strict = False,
    form: table_options.Form = "",
    plot: table_options.Plot = None,
    out: options.Out = None,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Count parameters, flops and activations of attention modules on models; by default all on resnet50.

    Nothing is trained, downloaded or saved. One flop is one multiply-add, as fvcore counts.
    """
    form = resolve_format(form, out, as_json=as_json)
    _check_files(out, plot, force=force)
    names = models or ["resnet50"]
    refuse_listed_attention(names, attn)
    built = {name: ctx.params[name] for name in ("num_classes", "input_size", "model_arg", "trust")}
    requests = [options.model_request(name, **built) for name in names]
    if compare:
        return _compare(requests, as_json=as_json, quiet=quiet)
    specs = [str(spec) for spec in options.parse_attention(attn)] or None
    layout = _layout(columns, sort, relative=relative, latency=latency or bool(max_latency), memory=memory)
    chosen = site_options(ctx)
    Plan.of("se", **chosen)  # refuses unknown values before torch is imported
    how = _conditions(ctx.params)
    budget = Budget.parse(**{quantity: ctx.params[f"max_{quantity}"] for quantity in QUANTITIES})
    with working(f"loading torch and counting {', '.join(names)}", quiet=quiet) as say:
        table = attn_inject.stats(requests, specs, budget=budget, progress=say, **how, **chosen)
    _deliver(arranged(table, sort=sort, top=top), form, layout, ctx.params)


def _conditions(asked: Mapping[str, Any]) -> dict[str, Any]:
    """How to count and to time; checked before torch is imported."""
    if asked["dtype"] not in DTYPES:
        raise unknown_name("dtype", asked["dtype"], DTYPES)
    return {name: asked[name] for name in _COUNTED}


def _deliver(table: Stats, form: str, layout: ColumnLayout, asked: Mapping[str, Any]) -> None:
    """Write the plot and the table, or print it."""
    plot, out, per_site = asked["plot"], asked["out"], asked["per_site"]
    how = {"force": asked["force"], "quiet": asked["quiet"]}
    if plot is not None:
        _write(plot, draw(table, plot.suffix, per_site=per_site), **how)
    if out is not None:
        _write(out, stats_text(table, form, layout, per_site=per_site).encode(), **how)
    if asked["as_json"] or (out is None and not asked["quiet"]):
        _print(table, "json" if asked["as_json"] else form, layout, per_site=per_site)


def _write(path: Path, content: bytes, *, force: bool, quiet: bool) -> None:
    with atomic_write(path, force=force) as file:
        file.write(content)
    print_notes([f"saved {path}"], quiet=quiet)


def _print(table: Stats, form: str, layout: ColumnLayout, *, per_site: bool) -> None:
    if form == "table":
        write_page(stats_page(table, layout, per_site=per_site), sys.stdout)
    else:
        sys.stdout.write(stats_text(table, form, layout, per_site=per_site))


def _check_files(out: Path | None, plot: Path | None, *, force: bool) -> None:
    """Find out before the work whether the result can be saved."""
    if out is not None:
        check_writable(out, force=force)
    if plot is not None:
        check_plot(plot)
        check_writable(plot, force=force)


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
            raise UsageError(f"--json and --format {form} exclude each other.", hint="Leave one of them out.")
        return "json" if as_json else form or "table"
    if not form and out.suffix not in SUFFIXES:
        raise UsageError(
            f"{out.name} has no suffix of a known format.",
            hint=f"Use one of {', '.join(SUFFIXES)}, or add --format.",
        )
    return form or SUFFIXES[out.suffix]


def _layout(columns: str, sort: str, *, relative: bool, **measured: bool) -> ColumnLayout:
    names = parse_columns(columns)
    by = sort.removeprefix("-").replace("-", "_")
    for name in (*names, *([require_column(by)] if by else [])):
        option = name.rpartition("_")[2]
        if measured.get(option) is False:
            raise UsageError(f"The column {name} is not measured.", hint=f"Add --{option}.")
    more = tuple(item for option in measured if measured[option] for item in (option, f"delta_{option}"))
    return ColumnLayout(names=names, relative=relative, measured=more)


def _compare(requests: list[ModelRequest], *, as_json: bool, quiet: bool) -> None:
    if len(requests) != 2:
        raise UsageError(
            f"--compare takes two models, and {len(requests)} are named.",
            hint="Write attn-inject stats --compare A.pt B.pt.",
        )
    with working(f"loading torch and counting {requests[0].name} and {requests[1].name}", quiet=quiet):
        comparison = attn_inject.compare(*requests)
    if as_json:
        sys.stdout.write(json_text(comparison.to_json()))
    elif not quiet:
        write_page(comparison_page(comparison), sys.stdout)
