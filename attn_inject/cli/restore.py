"""`attn-inject restore FILE --out BASE`: the base without its attention."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import attn_inject
from attn_inject.cli import options
from attn_inject.cli.working import working
from attn_inject.display.documents import json_text
from attn_inject.display.page import write_page
from attn_inject.display.saved_page import restored_page
from attn_inject.errors import UsageError

EPILOG = options.examples(
    "attn-inject restore model.pt --out base.pt",
    "attn-inject restore replaced.pt --base resnet50.pth --out base.safetensors",
)
Base = Annotated[
    Path | None,
    typer.Option(
        "--base",
        metavar="FILE",
        help="Weights of the base, for the tensors of replaced modules.",
        show_default=False,
        rich_help_panel=options.MODEL,
    ),
]


def restore(
    file: options.SavedFile,
    out: options.Out = None,
    base: Base = None,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Remove the attention again: save the base's own state dict, bit for bit as in the file."""
    if out is None:
        raise UsageError("Nothing would be saved.", hint="Add --out FILE.")
    with working(f"reading {file}", quiet=quiet):
        content = attn_inject.restore(file, out, base=base, force=force)
    if as_json:
        sys.stdout.write(json_text(content))
    elif not quiet:
        write_page(restored_page(content), sys.stdout)
