"""`attn-inject push FILE ORG/NAME`: the model on the Hugging Face Hub, with its configuration and a card."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import attn_inject
from attn_inject.cli import options
from attn_inject.cli.working import working
from attn_inject.display.documents import json_text
from attn_inject.display.page import write_page
from attn_inject.display.saved_page import pushed_page

EPILOG = options.examples(
    "attn-inject push model.pt ORG/NAME",
    "attn-inject push model.pt ORG/NAME --private",
)
Repository = Annotated[
    str, typer.Argument(metavar="ORG/NAME", help="Made if it does not exist.", show_default=False)
]
Private = Annotated[
    bool,
    typer.Option("--private", help="Make a new repository private.", rich_help_panel=options.OUTPUT),
]
Message = Annotated[
    str,
    typer.Option(
        "--message",
        metavar="TEXT",
        help="Of the commit.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]


def push(
    file: options.SavedFile,
    repository: Repository,
    private: Private = False,
    message: Message = "",
    trust: options.Trust = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Upload a saved model to the Hugging Face Hub, as `export --format hub` writes it."""
    with working(f"uploading {file}", quiet=quiet):
        content = attn_inject.push(file, repository, private=private, message=message, trust=trust)
    if as_json:
        sys.stdout.write(json_text(content))
    elif not quiet:
        write_page(pushed_page(str(file), content), sys.stdout)
