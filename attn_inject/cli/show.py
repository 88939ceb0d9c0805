"""`attn-inject show FILE`: what a saved file holds, without building a model."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import attn_inject
from attn_inject.cli import options
from attn_inject.cli.working import working
from attn_inject.display.documents import json_text
from attn_inject.display.page import write_page
from attn_inject.display.saved_page import saved_page
from attn_inject.errors import UsageError
from attn_inject.files.request_toml import recipe_text

EPILOG = options.examples(
    "attn-inject show model.pt",
    "attn-inject show model.pt --json",
    "attn-inject show model.pt --recipe > plan.toml",
)


def show(
    file: options.SavedFile,
    as_json: options.Json = False,
    recipe: Annotated[
        bool,
        typer.Option(
            "--recipe", help="Print the recipe that makes it again.", rich_help_panel=options.OUTPUT
        ),
    ] = False,
) -> None:
    """Show what a saved file holds, without building a model or running code in the file."""
    if as_json and recipe:
        raise UsageError("--json and --recipe exclude each other.", hint="Keep one of them.")
    with working(f"reading {file}"):
        content = attn_inject.describe(file)
    if recipe:
        sys.stdout.write(recipe_text(content))
    elif as_json:
        sys.stdout.write(json_text(content))
    else:
        write_page(saved_page(content), sys.stdout)
