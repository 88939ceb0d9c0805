"""`attn-inject sites MODEL`: the sites, and what is rejected and why; changes nothing."""

from __future__ import annotations

import sys

import attn_inject
from attn_inject.cli import options
from attn_inject.cli.working import print_notes, working
from attn_inject.display.documents import json_text
from attn_inject.display.page import write_page
from attn_inject.display.sites_page import sites_document, sites_page

EPILOG = options.examples(
    "attn-inject sites resnet50",
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
    as_json: options.Json = False,
) -> None:
    """Show where attention would be inserted, and what is rejected and why; change nothing."""
    request = options.model_request(
        model, num_classes=num_classes, input_size=input_size, model_arg=model_arg, trust=trust
    )
    with working(f"loading torch and {model}"):
        found = attn_inject.find_sites(request, blocks=blocks, at=tuple(at or ()))
    if not found.sites:
        print_notes([f"there are no residual blocks; name modules of {model} yourself with --at GLOB."])
    if as_json:
        sys.stdout.write(json_text(sites_document(model, found)))
    else:
        write_page(sites_page(model, found), sys.stdout)
