"""The options that several commands share, and how their text is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from attn_inject.attention import registry
from attn_inject.cli import completion
from attn_inject.errors import UsageError
from attn_inject.request import (
    BLOCK_KINDS,
    CHECKS,
    KEPT,
    STARTS,
    AttentionSpec,
    ModelRequest,
    as_specs,
    parse_value,
)

WHAT = "What is inserted"
WHERE = "Where"
MODEL = "The model"
CHECKS_PANEL = "Checks"
OUTPUT = "Output"

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="resnet50, timm/NAME, torchvision/NAME, hf-hub:ORG/NAME, local-dir:FOLDER, "
        "package.module:factory, or a saved file.",
        show_default=False,
        autocompletion=completion.models,
    ),
]
ModelOrRecipe = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="resnet50, timm/NAME, torchvision/NAME, hf-hub:ORG/NAME, local-dir:FOLDER, "
        "package.module:factory, or a saved file; "
        "or named by the recipe.",
        show_default=False,
        autocompletion=completion.models,
    ),
]
SavedFile = Annotated[Path, typer.Argument(metavar="FILE", help="Saved by inject.", show_default=False)]
Recipe = Annotated[
    Path | None,
    typer.Option(
        "--recipe",
        metavar="FILE",
        help="Read options from a TOML file (`attn-inject show FILE --recipe` prints one); typed ones win.",
        show_default=False,
        rich_help_panel=WHAT,
    ),
]
Apply = Annotated[
    Path | None,
    typer.Option(
        "--apply",
        metavar="FILE",
        help="Load the attention of a file that was saved with --only attention onto MODEL.",
        show_default=False,
        rich_help_panel=WHAT,
    ),
]
NoVerify = Annotated[
    bool,
    typer.Option("--no-verify", help="With --apply: accept a base with other weights.", rich_help_panel=WHAT),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Let a saved file or recipe run the code that it names, package.module:NAME.",
        rich_help_panel=MODEL,
    ),
]
Only = Annotated[
    str,
    typer.Option(
        "--only",
        metavar="|".join(KEPT),
        help="Save everything, or only attention and the running statistics of batch norms.",
        autocompletion=lambda: list(KEPT.items()),
        rich_help_panel=OUTPUT,
    ),
]
KeepReplaced = Annotated[
    bool,
    typer.Option(
        "--keep-replaced",
        help="Also save what --placement replace-... removed, so that the file restores without --base.",
        rich_help_panel=OUTPUT,
    ),
]
Blocks = Annotated[
    str,
    typer.Option(
        "--blocks",
        help="Residual blocks; also their family (siblings of the same class without a shortcut); "
        "or the inner or the outer ones of nested blocks.",
        metavar="|".join(BLOCK_KINDS),
        autocompletion=lambda: list(BLOCK_KINDS),
        rich_help_panel=WHERE,
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        metavar="GLOB",
        help="Name modules yourself instead of searching for blocks; repeatable.",
        rich_help_panel=WHERE,
    ),
]
Placement = Annotated[
    str,
    typer.Option(
        "--placement",
        help="Where in the block the module acts; `attn-inject list placements` explains each.",
        metavar="NAME",
        autocompletion=completion.placements,
        rich_help_panel=WHERE,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="GLOB", help="Keep only these sites; repeatable.", rich_help_panel=WHERE),
]
Skip = Annotated[
    list[str] | None,
    typer.Option("--skip", metavar="GLOB", help="Leave these sites out; repeatable.", rich_help_panel=WHERE),
]
Stage = Annotated[
    list[str] | None,
    typer.Option(
        "--stage",
        metavar="N,N",
        help="Keep only these stages, from 1: 3,4; repeatable.",
        show_default=False,
        rich_help_panel=WHERE,
    ),
]
Start = Annotated[
    str,
    typer.Option(
        "--start",
        help="How new parameters are initialised: as in the paper, or so that the output is unchanged "
        "(auto: identity if weights were loaded).",
        metavar="|".join(STARTS),
        autocompletion=lambda: list(STARTS.items()),
        rich_help_panel=WHAT,
    ),
]
Check = Annotated[
    str,
    typer.Option(
        "--check",
        help="What is checked before the file is saved.",
        metavar="|".join(CHECKS),
        autocompletion=lambda: list(CHECKS.items()),
        rich_help_panel=CHECKS_PANEL,
    ),
]
Pretrained = Annotated[
    bool,
    typer.Option("--pretrained/--no-pretrained", help="Fetch the published weights.", rich_help_panel=MODEL),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Load a checkpoint, .pt, .pth or .safetensors: a path, or https://, hf-hub:ORG/NAME, s3://.",
        show_default=False,
        rich_help_panel=MODEL,
    ),
]
WeightsKey = Annotated[
    str | None,
    typer.Option(
        "--weights-key",
        metavar="KEY",
        help="Which state dict of the checkpoint: state_dict_ema, student, module.encoder_k. "
        "The best fitting one by default.",
        show_default=False,
        rich_help_panel=MODEL,
    ),
]
NumClasses = Annotated[
    int | None,
    typer.Option(
        "--num-classes",
        metavar="N",
        min=0,
        help="Outputs of the classifier.",
        show_default=False,
        rich_help_panel=MODEL,
    ),
]
InputSize = Annotated[
    str,
    typer.Option(
        "--input-size",
        metavar="C,H,W",
        help="Shape of one input, in pixels: 3,224,320; or 224,320; or 224.",
        show_default=False,
        rich_help_panel=MODEL,
    ),
]
ModelArg = Annotated[
    list[str] | None,
    typer.Option(
        "--model-arg",
        metavar="KEY=VALUE",
        help="Another argument of the architecture; repeatable.",
        rich_help_panel=MODEL,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=OUTPUT)]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print no report and no progress, only errors and --json.",
        rich_help_panel=OUTPUT,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.", rich_help_panel=OUTPUT)]


def _attention(note: str) -> Any:
    return typer.Option(
        "--attn",
        metavar="SPEC",
        help="NAME, NAME:option=value,... or GLOB=NAME; repeatable, never a list. "
        f"`attn-inject list attention` shows the names. {note}",
        show_default=False,
        autocompletion=completion.specs,
        rich_help_panel=WHAT,
    )


Attention = Annotated[list[str] | None, _attention("Required.")]
AttentionOrAll = Annotated[list[str] | None, _attention("All of them by default.")]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        help="Seed of the new parameters and of the checks' inputs.",
        rich_help_panel=WHAT,
    ),
]
Stem = Annotated[
    bool,
    typer.Option(
        "--stem",
        help="Also replace the stem, with --placement replace-conv and a module that has one (sasa).",
        rich_help_panel=WHERE,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Fail, instead of skipping a site, if a module does not fit.",
        rich_help_panel=CHECKS_PANEL,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Where to save.", show_default=False, rich_help_panel=OUTPUT
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Report what would be done; change and save nothing.", rich_help_panel=OUTPUT
    ),
]


def examples(*lines: str) -> str:
    """The end of a command's help: lines to copy, brackets escaped."""
    return escape("\n".join(["Examples:", *(f"$ {line}" for line in lines)]))


def parse_attention(attn: Sequence[str] | None) -> tuple[AttentionSpec, ...]:
    """The specs of `--attn`, with each name looked up, so that a typo is reported before torch is imported.

    Raises:
        UsageError: A spec does not parse.
        UnknownNameError: No such attention module.
    """
    specs = as_specs(attn or ())
    for spec in specs:
        registry.find(spec.name)
    return specs


def model_request(
    name: str,
    *,
    pretrained: bool = False,
    weights: str | None = None,
    num_classes: int | None = None,
    input_size: str = "",
    model_arg: list[str] | None = None,
    trust: bool = False,
) -> ModelRequest:
    """The request that the model options make.

    Raises:
        UsageError: An option's text does not parse.
    """
    return ModelRequest(
        name=name,
        pretrained=pretrained,
        weights=weights,
        num_classes=num_classes,
        input_size=parse_input_size(input_size) if input_size else None,
        model_args=dict(parse_model_arg(text) for text in model_arg or ()),
        trust=trust,
    )


def parse_input_size(text: str) -> tuple[int, ...]:
    """`224`, `224,320` and `3,224,320` as (C, H, W); four numbers are (C, T, H, W)."""
    numbers = _whole_numbers("--input-size", text, hint="Write C,H,W in pixels, for example 3,224,224.")
    if len(numbers) > 4:
        raise UsageError(
            f"--input-size {text} has {len(numbers)} numbers.",
            hint="Write C,H,W in pixels, for example 3,224,224; a video's is C,T,H,W.",
        )
    height_and_width = numbers * 2 if len(numbers) == 1 else numbers
    return height_and_width if len(height_and_width) > 2 else (3, *height_and_width)


def parse_stages(texts: Sequence[str] | None) -> tuple[int, ...]:
    """`3,4` as (3, 4), and so are `3` and `4`."""
    hint = "Write stage numbers from 1, separated by commas: 3,4."
    numbers = [number for text in texts or () for number in _whole_numbers("--stage", text, hint=hint)]
    return tuple(dict.fromkeys(numbers))


def _whole_numbers(option: str, text: str, *, hint: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 19 and int(part) > 0 for part in parts):
        raise UsageError(f"{option} {text} is not a list of whole numbers above 0.", hint=hint)
    return tuple(int(part) for part in parts)


def parse_model_arg(text: str) -> tuple[str, Any]:
    """`drop_path_rate=0.1` as ("drop_path_rate", 0.1), and `norm_layer=None` as ("norm_layer", None)."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(
            f"--model-arg {text} has no value.",
            hint="Write KEY=VALUE, for example --model-arg drop_path_rate=0.1.",
        )
    return key.strip().replace("-", "_"), None if value.strip() == "None" else parse_value(value)
