"""`attn-inject look FILE --images FOLDER`: what attention does in a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import attn_inject
from attn_inject.cli import image_options, options
from attn_inject.cli.working import print_notes, working
from attn_inject.display.documents import json_text
from attn_inject.display.look_html import look_html
from attn_inject.display.look_page import look_page
from attn_inject.display.page import write_page
from attn_inject.errors import UsageError
from attn_inject.files.atomic import atomic_write, check_writable

EPILOG = options.examples(
    "attn-inject look model.pt --images photos",
    "attn-inject look model.pt --images photos --base resnet50 --out look.html",
)
Modified = Annotated[
    str,
    typer.Argument(metavar="FILE", help="A saved file with a modified classifier.", show_default=False),
]
Base = Annotated[
    str,
    typer.Option(
        "--base",
        metavar="MODEL",
        help="Compare with this model or file, by default with FILE itself, its modules bypassed.",
        show_default=False,
        rich_help_panel=options.MODEL,
    ),
]
NoBypass = Annotated[
    bool,
    typer.Option(
        "--no-bypass",
        help="Do not run the model once more for each site, without that site.",
        rich_help_panel=image_options.IMAGES,
    ),
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write one offline page, .html.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
NoClassMaps = Annotated[
    bool,
    typer.Option(
        "--no-class-maps",
        help="Leave class activation maps out of the page.",
        rich_help_panel=options.OUTPUT,
    ),
]


def look(
    model: Modified,
    images: image_options.Images = None,
    base: Base = "",
    limit: image_options.Limit = 100,
    size: image_options.Size = None,
    mean: image_options.Mean = "",
    std: image_options.Std = "",
    no_bypass: NoBypass = False,
    batch_size: image_options.BatchSize = 16,
    device: image_options.Device = "cpu",
    trust: options.Trust = False,
    out: Page = None,
    no_class_maps: NoClassMaps = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a modified classifier on images: gates, contributions, and what happens without each site.

    Nothing is changed. With --out a page shows maps over the images, too.
    """
    if out is not None:
        if out.suffix != ".html":
            raise UsageError(f"{out} is not an .html file.", hint=f"Write --out {out.with_suffix('.html')}.")
        check_writable(out, force=force)
    places = image_options.required(images)
    asked = image_options.image_options(
        limit=limit, size=size, mean=mean, std=std, batch_size=batch_size, device=device
    )
    request = options.model_request(model, trust=trust)
    with working(f"loading torch and {model}", quiet=quiet) as say:
        seen = attn_inject.look(
            request,
            places,
            base=options.model_request(base, trust=trust) if base else None,
            bypass=not no_bypass,
            class_maps=out is not None and not no_class_maps,
            progress=say,
            **asked,
        )
    if out is not None:
        with atomic_write(out, force=force) as file:
            file.write(look_html(seen).encode())
        print_notes([f"saved {out}"], quiet=quiet)
    if as_json:
        sys.stdout.write(json_text(seen.to_json()))
    elif not quiet:
        write_page(look_page(seen), sys.stdout)
