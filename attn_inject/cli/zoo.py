"""`attn-inject zoo MODEL ... --attn SPEC --out-dir FOLDER`: many models, one process each, with a ledger."""

from __future__ import annotations

import re
import sys
from contextlib import closing, redirect_stdout
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer

from attn_inject.cli import options
from attn_inject.cli.boundary import Command, print_error
from attn_inject.cli.misplaced import refuse_listed_attention
from attn_inject.cli.options import OUTPUT
from attn_inject.display.documents import json_text
from attn_inject.display.page import write_page
from attn_inject.errors import UsageError, ZooError
from attn_inject.zoo.manifest import FORMATS, Options, Zoo, make_zoo
from attn_inject.zoo.naming import DEFAULT_TEMPLATE, FIELDS
from attn_inject.zoo.zoo_file import read_toml

EXAMPLE = "attn-inject zoo 'resnet*' --attn ela-l --out-dir zoo/"
EPILOG = options.examples(
    EXAMPLE,
    "attn-inject zoo 'resnet*' 'torchvision/regnet_*' --each-attn se --each-attn sa:groups=32 --out-dir zoo/",
    "attn-inject zoo zoo.toml --dry-run",
    "attn-inject zoo @models.txt --attn eca --out-dir s3://bucket/zoo --ray 10.0.0.5:6379",
)
RUN = "The run"
_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.\-\[\]]+:\d+")

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Names, globs in quotes, saved files, @FILE with one of these per line, or zoo.toml.",
        show_default=False,
    ),
]
EachAttention = Annotated[
    list[str] | None,
    typer.Option(
        "--each-attn",
        metavar="SPEC",
        help="One output per module, instead of one with all of --attn; repeatable.",
        show_default=False,
        rich_help_panel=options.WHAT,
    ),
]
OutDir = Annotated[
    str,
    typer.Option(
        "--out-dir",
        "-o",
        metavar="FOLDER",
        help="The output folder, or a URL such as s3://bucket/zoo.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Form = Annotated[
    str,
    typer.Option(
        "--format", metavar="|".join(FORMATS), help="The format of the files.", rich_help_panel=OUTPUT
    ),
]
Template = Annotated[
    str,
    typer.Option(
        "--name-template",
        metavar="TEXT",
        help="The names of the files; the fields are " + ", ".join(f"{{{name}}}" for name in FIELDS) + ".",
        rich_help_panel=OUTPUT,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=1,
        help="How many models run at a time; by default one per core.",
        show_default=False,
        rich_help_panel=RUN,
    ),
]
MemoryLimit = Annotated[
    str,
    typer.Option(
        "--memory-limit",
        metavar="AMOUNT",
        help="The memory of all running models together: 8GiB, or a share of what is free.",
        rich_help_panel=RUN,
    ),
]
Timeout = Annotated[
    str,
    typer.Option(
        "--timeout",
        metavar="TIME",
        help="The longest time for one output: 90, 10m, 2h.",
        show_default=False,
        rich_help_panel=RUN,
    ),
]
Retries = Annotated[
    int,
    typer.Option(
        "--retries",
        metavar="N",
        min=0,
        help="How often a model whose process died is tried again.",
        rich_help_panel=RUN,
    ),
]
OnlyFailed = Annotated[
    bool, typer.Option("--only-failed", help="Run only the outputs that failed before.", rich_help_panel=RUN)
]
FailFast = Annotated[
    bool, typer.Option("--fail-fast", help="Stop at the first failure.", rich_help_panel=RUN)
]
Discard = Annotated[
    bool,
    typer.Option(
        "--discard",
        help="Remove each file once its digest is recorded, for trial runs.",
        rich_help_panel=OUTPUT,
    ),
]
Ray = Annotated[
    str,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Run on a Ray cluster; without an address, on the cluster that this machine belongs to.",
        show_default=False,
        rich_help_panel=RUN,
    ),
]


class ZooCommand(Command):
    """A command in which `--ray` may have no address, which typer does not support."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `auto` after a `--ray` without an address."""
        return super().parse_args(ctx, with_address(args))


def with_address(arguments: list[str]) -> list[str]:
    """The arguments with `auto` after every `--ray` that no address follows."""
    completed: list[str] = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        completed.append(argument)
        if argument == "--ray" and not _ADDRESS.fullmatch(following):
            completed.append("auto")
    return completed


def zoo(
    ctx: typer.Context,
    models: Models = None,
    attn: options.Attention = None,
    each_attn: EachAttention = None,
    start: options.Start = "auto",
    seed: options.Seed = 0,
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
    check: options.Check = "full",
    out_dir: OutDir = "",
    only: options.Only = "all",
    keep_replaced: options.KeepReplaced = False,
    form: Form = FORMATS[0],
    name_template: Template = DEFAULT_TEMPLATE,
    discard: Discard = False,
    force: options.Force = False,
    jobs: Jobs = None,
    memory_limit: MemoryLimit = "80%",
    timeout: Timeout = "",
    retries: Retries = 1,
    only_failed: OnlyFailed = False,
    fail_fast: FailFast = False,
    ray: Ray = "",
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Convert many models, one process each; run it again, and it continues where it stopped.

    A model that fails, crashes or hangs is reported with its reason, and the others continue. The output
    folder also holds ledger.jsonl, index.json, summary.csv, README.md and index.html.
    """
    refuse_listed_attention(models or [], attn or each_attn)
    request = _request(ctx)
    if dry_run:
        _preview(request, as_json=as_json, quiet=quiet)
    else:
        _run(request, as_json=as_json, quiet=quiet)


def _preview(request: Zoo, *, as_json: bool, quiet: bool) -> None:
    from attn_inject.cli.zoo_display import watching
    from attn_inject.zoo.run import preview
    from attn_inject.zoo.text_pages import dry_run_page

    with redirect_stdout(sys.stderr), watching(sys.stderr, quiet=quiet) as watcher:
        dry_run = preview(request, watcher)
    _print(dry_run.to_json(), dry_run_page(dry_run), as_json=as_json, quiet=quiet)


def _run(request: Zoo, *, as_json: bool, quiet: bool) -> None:
    from attn_inject.cli.zoo_display import watching
    from attn_inject.zoo.rows import index_document
    from attn_inject.zoo.run import run
    from attn_inject.zoo.text_pages import ending_page

    lines = sys.stderr if as_json else sys.stdout
    with (
        redirect_stdout(sys.stderr),
        watching(lines, quiet=quiet) as watcher,
        closing(run(request, watcher)) as running,
    ):
        records = [watcher.record(record) for record in running]
    _print(index_document(records), ending_page(records, request), as_json=as_json, quiet=quiet)
    failed = sum(not record.is_done for record in records)
    if failed:
        print_error(
            f"{failed} of {len(records)} outputs failed.",
            f"The reasons are in {request.settings.out_dir}; the same command tries them again.",
        )
        raise typer.Exit(ZooError.exit_code)


def _print(document: Any, page: Any, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        sys.stdout.write(json_text(document))
    elif not quiet:
        write_page(page, sys.stdout)


def _request(ctx: typer.Context) -> Zoo:
    """The request of the flags and a `zoo.toml` together; only typed flags count."""
    given = {
        name: value
        for name, value in ctx.params.items()
        if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }
    for name in ("dry_run", "as_json", "quiet"):
        given.pop(name, None)
    names = given.pop("models", [])
    files = [name for name in names if name.endswith(".toml")]
    if len(files) > 1:
        raise UsageError(f"{' and '.join(files)} are two requests.", hint="Name one zoo.toml.")
    if other := [name for name in names if name not in files]:
        given["models"] = other
    flags = Options(_as_values(given))
    if not files:
        return make_zoo([flags])
    top, entries = read_toml(Path(files[0]))
    return make_zoo([top, flags], entries)


def _as_values(given: dict[str, Any]) -> dict[str, Any]:
    """The options with a special form on the command line, read; the others unchanged."""
    values = {"format" if name == "form" else name: value for name, value in given.items()}
    if "stage" in values:
        values["stage"] = list(options.parse_stages(values["stage"]))
    if "input_size" in values:
        values["input_size"] = list(options.parse_input_size(values["input_size"]))
    if "model_arg" in values:
        values["model_arg"] = dict(options.parse_model_arg(text) for text in values["model_arg"])
    return values
