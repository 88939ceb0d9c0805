"""`attn-inject prune FILE --out FILE`: takes out the sites that do least."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import attn_inject
from attn_inject.cli import image_options, options
from attn_inject.cli.working import working
from attn_inject.display.documents import json_text
from attn_inject.display.page import write_page
from attn_inject.display.prune_page import prune_page
from attn_inject.errors import UsageError

EPILOG = options.examples(
    "attn-inject prune model.pt --max-change 0.01 --images photos --out pruned.pt",
    "attn-inject prune model.pt --sites 'layer4.*' --out pruned.pt",
)
WHICH = "Which sites go"

Sites = Annotated[
    list[str] | None,
    typer.Option(
        "--sites",
        metavar="GLOB",
        help="These may go, or go if no bound is given; repeatable.",
        show_default=False,
        rich_help_panel=WHICH,
    ),
]
Below = Annotated[
    float | None,
    typer.Option(
        "--below",
        metavar="SHARE",
        help="Those that change their map by less: |alpha (A(x) - x)| / |x|.",
        show_default=False,
        rich_help_panel=WHICH,
    ),
]
MaxChange = Annotated[
    float | None,
    typer.Option(
        "--max-change",
        metavar="NATS",
        help="As many as possible while the probabilities move by no more: the mean Kullback-Leibler "
        "divergence.",
        show_default=False,
        rich_help_panel=WHICH,
    ),
]
Latency = Annotated[
    bool,
    typer.Option("--latency", help="Also time both models, in turn.", rich_help_panel=options.OUTPUT),
]


def prune(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Saved by inject.", show_default=False)],
    out: options.Out = None,
    sites: Sites = None,
    below: Below = None,
    max_change: MaxChange = None,
    images: image_options.Images = None,
    limit: image_options.Limit = 100,
    size: image_options.Size = None,
    mean: image_options.Mean = "",
    std: image_options.Std = "",
    batch_size: image_options.BatchSize = 16,
    device: image_options.Device = "cpu",
    latency: Latency = False,
    trust: options.Trust = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Take out the sites that do least, one after the other, and measure again after each.

    The pruned file loads and restores like any other.
    """
    if out is None:
        raise UsageError("Nothing would be saved.", hint="Add --out FILE.")
    asked = image_options.image_options(
        limit=limit, size=size, mean=mean, std=std, batch_size=batch_size, device=device
    )
    with working(f"loading torch and {file}", quiet=quiet) as say:
        pruned = attn_inject.prune(
            options.model_request(file, trust=trust),
            images or None,
            sites=sites or (),
            below=below,
            max_change=max_change,
            out=out,
            force=force,
            latency=latency,
            progress=say,
            **asked,
        )
    if as_json:
        sys.stdout.write(json_text(pruned.report.to_json()))
    elif not quiet:
        write_page(prune_page(pruned.report), sys.stdout)
