"""`attn-inject diff A B`: what differs between two models; changes nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import attn_inject
from attn_inject.cli import options
from attn_inject.cli.working import print_notes, working
from attn_inject.display.diff_html import diff_html
from attn_inject.display.diff_page import diff_page
from attn_inject.display.documents import json_text
from attn_inject.display.page import write_page
from attn_inject.errors import UsageError
from attn_inject.files.atomic import atomic_write, check_writable

EPILOG = options.examples(
    "attn-inject diff resnet50 model.pt",
    "attn-inject diff se.pt ela.pt --out diff.html",
)
A_HELP = "A model's name, as for inject, or a saved file."


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=A_HELP, autocompletion=options.completion.models)],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.", autocompletion=options.completion.models)],
    num_classes: options.NumClasses = None,
    input_size: options.InputSize = "",
    model_arg: options.ModelArg = None,
    trust: options.Trust = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write one offline page, .html.",
            show_default=False,
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what differs between two models: changed blocks as code, keys added and removed, costs.

    --num-classes, --input-size and --model-arg are for those that are given by name.
    """
    if out is not None:
        if out.suffix != ".html":
            raise UsageError(f"{out} is not an .html file.", hint=f"Write --out {out.with_suffix('.html')}.")
        check_writable(out, force=force)
    how = {"num_classes": num_classes, "input_size": input_size, "model_arg": model_arg, "trust": trust}
    requests = [
        options.model_request(name, **({"trust": trust} if Path(name).is_file() else how)) for name in (a, b)
    ]
    with working(f"loading torch and comparing {a} and {b}", quiet=quiet):
        difference = attn_inject.diff(*requests)
    if out is not None:
        with atomic_write(out, force=force) as file:
            file.write(diff_html(difference).encode())
        print_notes([f"saved {out}"], quiet=quiet)
    if as_json:
        sys.stdout.write(json_text(difference.to_json()))
    elif out is None and not quiet:
        write_page(diff_page(difference), sys.stdout)
