"""`attn-inject export FILE --out model.onnx`: the model in a format that other programs take."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import attn_inject
from attn_inject.cli import options
from attn_inject.cli.working import working
from attn_inject.display.documents import json_text
from attn_inject.display.page import write_page
from attn_inject.display.saved_page import exported_page
from attn_inject.errors import UsageError

EPILOG = options.examples(
    "attn-inject export model.pt --out model.onnx",
    "attn-inject export model.pt --out model.pt2 --batch-size 1",
    "attn-inject export model.pt --out model.safetensors",
    "attn-inject export model.pt --out folder --format hub",
)
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        min=1,
        help="The only batch size that the exported model takes; any size by default.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="hub",
        help="Write a folder for the Hugging Face Hub, which timm loads, too; else the suffix decides.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]


def export(
    file: options.SavedFile,
    out: options.Out = None,
    format: Format = "",
    batch_size: BatchSize = None,
    input_size: options.InputSize = "",
    trust: options.Trust = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Export a saved model as .pt2 or .onnx, compared with the model, or save it in another form."""
    if out is None:
        raise UsageError("Nothing would be saved.", hint="Add --out FILE, for example --out model.onnx.")
    size = options.parse_input_size(input_size) if input_size else None
    with working(f"exporting {file}", quiet=quiet):
        content = attn_inject.export(
            file, out, format=format, batch_size=batch_size, input_size=size, trust=trust, force=force
        )
    if as_json:
        sys.stdout.write(json_text(content))
    elif not quiet:
        write_page(exported_page(str(file), content), sys.stdout)
