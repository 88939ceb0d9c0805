"""`attn-inject fit MODEL --attn SPEC --max-params +1%`: the sites that a budget allows."""

from __future__ import annotations

import shlex
import sys

import typer

import attn_inject
from attn_inject.cli import options, table_options
from attn_inject.cli.requested import site_options
from attn_inject.cli.working import working
from attn_inject.cost.budget import Budget, Fit
from attn_inject.display.documents import json_text
from attn_inject.display.fit_page import fit_page
from attn_inject.display.page import write_page
from attn_inject.errors import UsageError
from attn_inject.request import Plan

EPILOG = options.examples(
    "attn-inject fit resnet50 --attn se --max-params +2%",
    "attn-inject fit resnet50 --attn ela-l --max-params +1% --max-flops +0.5%",
)


def fit(
    ctx: typer.Context,
    model: options.ModelName,
    attn: options.Attention = None,
    start: options.Start = "auto",
    max_params: table_options.MaxParams = "",
    max_flops: table_options.MaxFlops = "",
    max_activations: table_options.MaxActivations = "",
    placement: options.Placement = "after",
    where: options.Where = None,
    skip: options.Skip = None,
    stage: options.Stage = None,
    blocks: options.Blocks = "residual",
    at: options.At = None,
    num_classes: options.NumClasses = None,
    input_size: options.InputSize = "",
    model_arg: options.ModelArg = None,
    trust: options.Trust = False,
    as_json: options.Json = False,
) -> None:
    """Choose the sites that a budget allows, the last stage first, and print the command that inserts there.

    Nothing is changed or saved. A block that would exceed the budget is passed over.
    """
    specs = options.parse_attention(attn)
    if len(specs) != 1:
        raise UsageError(f"One --attn is needed, and {len(specs)} are given.", hint="Add --attn NAME.")
    budget = Budget.parse(params=max_params, flops=max_flops, activations=max_activations)
    plan = Plan.of(specs, **site_options(ctx))
    request = options.model_request(
        model, num_classes=num_classes, input_size=input_size, model_arg=model_arg, trust=trust
    )
    with working(f"loading torch and counting {model}"):
        found = attn_inject.fit(request, plan, budget)
    given = {
        "--placement": [placement] if placement != "after" else [],
        "--start": [start] if start != "auto" else [],
        "--blocks": [blocks] if blocks != "residual" else [],
        "--at": at or [],
        "--num-classes": [] if num_classes is None else [str(num_classes)],
        "--input-size": [input_size] if input_size else [],
        "--model-arg": model_arg or [],
    }
    chosen = found.selection()
    # The user's own selection is repeated, unless the chosen sites determine it.
    if "--where" not in chosen:
        given |= {"--where": where or [], "--skip": skip or []}
    if not {"--where", "--stage"} & set(chosen):
        given |= {"--stage": stage or []}
    command = _command(found, given, trust=trust)
    if as_json:
        sys.stdout.write(json_text({**found.to_json(), "command": command}))
    else:
        write_page(fit_page(found, command), sys.stdout)


def _command(found: Fit, given: dict[str, list[str]], *, trust: bool) -> str:
    """The command that inserts the module at the chosen sites only."""
    words = ["attn-inject", found.model, "--attn", found.attention]
    for option, values in given.items():
        for value in values:
            words += [option, value]
    words += ["--trust"] if trust else []
    return shlex.join([*words, *found.selection(), "--out", "model.pt"])
