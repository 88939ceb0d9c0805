"""`attn-inject show FILE`: what a saved file holds, without building a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import attn_inject
from attn_inject.cli import options
from attn_inject.cli.working import working
from attn_inject.report.documents import json_text
from attn_inject.report.page import write_page
from attn_inject.report.saved import saved_page

EPILOG = options.examples("attn-inject show model.pt", "attn-inject show model.pt --json")


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Saved by inject.", show_default=False)],
    as_json: options.Json = False,
) -> None:
    """Show what a saved file holds, without building a model; nothing in the file is run."""
    with working(f"reading {file}"):
        content = attn_inject.describe(file)
    if as_json:
        sys.stdout.write(json_text(content))
    else:
        write_page(saved_page(content), sys.stdout)
