"""`attn-inject sites MODEL`: the sites, and what is rejected and why; changes nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import attn_inject
from attn_inject.cli import options
from attn_inject.cli.working import print_notes, working
from attn_inject.display.documents import json_text
from attn_inject.display.page import write_page
from attn_inject.display.sites_page import sites_document, sites_page
from attn_inject.errors import UsageError
from attn_inject.files.atomic import atomic_write, check_writable
from attn_inject.request import ModelRequest

EPILOG = options.examples(
    "attn-inject sites resnet50",
    "attn-inject sites resnet50 --svg placements.svg",
    "attn-inject sites vgg16 --at 'features.[0-9]*' --json",
)


def sites(
    model: options.ModelName,
    blocks: options.Blocks = "residual",
    at: options.At = None,
    num_classes: options.NumClasses = None,
    input_size: options.InputSize = "",
    model_arg: options.ModelArg = None,
    trust: options.Trust = False,
    svg: Annotated[
        Path | None,
        typer.Option(
            "--svg",
            metavar="FILE",
            help="Draw where each placement acts in the commonest block, .svg.",
            show_default=False,
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Show where attention would be inserted, and what is rejected and why; change nothing."""
    request = options.model_request(
        model, num_classes=num_classes, input_size=input_size, model_arg=model_arg, trust=trust
    )
    if svg is not None:
        _draw(request, svg, blocks=blocks, at=at, force=force)
        return
    with working(f"loading torch and {model}"):
        found = attn_inject.find_sites(request, blocks=blocks, at=tuple(at or ()))
    if not found.sites:
        print_notes([f"there are no residual blocks; name modules of {model} yourself with --at GLOB."])
    if as_json:
        sys.stdout.write(json_text(sites_document(model, found)))
    else:
        write_page(sites_page(model, found), sys.stdout)


def _draw(request: ModelRequest, svg: Path, *, blocks: str, at: list[str] | None, force: bool) -> None:
    """Write the picture instead of printing the sites."""
    if svg.suffix != ".svg":
        raise UsageError(f"{svg} is not an .svg file.", hint=f"Write --svg {svg.with_suffix('.svg')}.")
    if at:
        raise UsageError("--svg draws residual blocks, not modules named by --at.", hint="Leave one out.")
    check_writable(svg, force=force)
    with working(f"loading torch and {request.name}"):
        drawn = attn_inject.draw_placements(request, blocks=blocks)
    with atomic_write(svg, force=force) as file:
        file.write(drawn.encode())
    print_notes([f"saved {svg}"])
