"""The options of cost tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from attn_inject.cli.options import OUTPUT
from attn_inject.display.columns import COLUMNS
from attn_inject.display.stats_page import FORMATS

BUDGET = "Budget"
MEASURED = "Measured, not counted"

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="As for inject, a glob ('resnet*'), or @list.txt, one name per line; resnet50 by default.",
        show_default=False,
    ),
]
Form = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="|".join(FORMATS),
        help="The format of the table; by default that of --out's suffix.",
        autocompletion=lambda: list(FORMATS.items()),
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


def _columns(text: str, flag: str, metavar: str) -> Any:
    return typer.Option(
        flag,
        metavar=metavar,
        help=f"{text}; `attn-inject list columns` names them.",
        autocompletion=lambda: list(COLUMNS.items()),
        show_default=False,
        rich_help_panel=OUTPUT,
    )


Sort = Annotated[
    str,
    _columns("Sort each model's rows, the smallest first, or the largest with -COLUMN", "--sort", "COLUMN"),
]
Columns = Annotated[str, _columns("Show these columns", "--columns", "NAME,NAME")]
Top = Annotated[
    int | None,
    typer.Option(
        "--top",
        metavar="N",
        min=1,
        help="Keep the first N modules of each model.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Relative = Annotated[
    bool, typer.Option("--relative", help="Changes in percent of the base.", rich_help_panel=OUTPUT)
]
PerSite = Annotated[
    bool, typer.Option("--per-site", help="List what each inserted module costs.", rich_help_panel=OUTPUT)
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Plot flops over parameters, one bubble per module (.svg, .png, .html); with --per-site, bars.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Compare = Annotated[
    bool,
    typer.Option("--compare", help="Compare two models or saved files.", rich_help_panel=OUTPUT),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Fail if an operation was not counted (exit code 8).", rich_help_panel=OUTPUT
    ),
]


def _limit(quantity: str, example: str) -> Any:
    return typer.Option(
        f"--max-{quantity}",
        metavar="LIMIT",
        help=f"Leave out rows that cost more: {example}.",
        show_default=False,
        rich_help_panel=BUDGET,
    )


MaxParams = Annotated[str, _limit("params", "+1%, +200k, or 26M in all")]
MaxFlops = Annotated[str, _limit("flops", "+0.5%, +20M, or 4.2G in all")]
MaxActivations = Annotated[str, _limit("activations", "+1%, +100k, or 12M in all")]
MaxLatency = Annotated[str, _limit("latency", "+5%, +2ms, or 40ms in all")]
Latency = Annotated[
    bool,
    typer.Option(
        "--latency",
        help="Build each model and time one forward, base and modified alternately.",
        rich_help_panel=MEASURED,
    ),
]
Memory = Annotated[
    bool,
    typer.Option(
        "--memory",
        help="Compute the peak memory of a training step, with two samples or more.",
        rich_help_panel=MEASURED,
    ),
]
Device = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1, mps.", rich_help_panel=MEASURED)
]
BatchSize = Annotated[
    int,
    typer.Option("--batch-size", metavar="N", min=1, help="Samples in a batch.", rich_help_panel=MEASURED),
]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="float32|bfloat16|float16",
        help="Of weights and inputs.",
        rich_help_panel=MEASURED,
    ),
]
Compile = Annotated[
    bool,
    typer.Option("--compile", help="Time the models compiled with torch.compile.", rich_help_panel=MEASURED),
]
