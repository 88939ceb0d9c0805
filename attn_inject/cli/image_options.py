"""The options of the commands that run a model on images, and how their text is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from attn_inject.cli import options
from attn_inject.errors import UsageError

IMAGES = "Images"

Images = Annotated[
    list[Path] | None,
    typer.Option(
        "--images",
        metavar="FOLDER|FILE",
        help="A folder of class folders, a folder of images, or a file; repeatable.",
        show_default=False,
        rich_help_panel=IMAGES,
    ),
]
Limit = Annotated[
    int,
    typer.Option("--limit", metavar="N", help="The most images to take, evenly.", rich_help_panel=IMAGES),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size", metavar="N", help="Side of the input in pixels.", show_default=False, rich_help_panel=IMAGES
    ),
]
Mean = Annotated[
    str,
    typer.Option(
        "--mean",
        metavar="R,G,B",
        help="What is subtracted, from 0 to 1; by default what the model's library says.",
        show_default=False,
        rich_help_panel=IMAGES,
    ),
]
Std = Annotated[
    str,
    typer.Option(
        "--std",
        metavar="R,G,B",
        help="What it is then divided by.",
        show_default=False,
        rich_help_panel=IMAGES,
    ),
]
BatchSize = Annotated[
    int,
    typer.Option("--batch-size", metavar="N", help="Images that run at once.", rich_help_panel=IMAGES),
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="Where to run.", rich_help_panel=IMAGES)
]
Trust = options.Trust


def image_options(
    *, limit: int, size: int | None, mean: str, std: str, batch_size: int, device: str
) -> dict[str, Any]:
    """The options as the functions of Python take them.

    Raises:
        UsageError: A number does not parse, or is below 1.
    """
    if batch_size < 1:
        raise UsageError(f"--batch-size {batch_size} is not accepted; it is a whole number from 1.")
    return {
        "limit": limit,
        "size": size,
        "mean": _numbers("--mean", mean),
        "std": _numbers("--std", std),
        "batch_size": batch_size,
        "device": device,
    }


def required(images: list[Path] | None) -> list[Path]:
    """The images.

    Raises:
        UsageError: There are none.
    """
    if not images:
        raise UsageError("No image is given.", hint="Name a folder or files: --images FOLDER.")
    return images


def _numbers(option: str, text: str) -> tuple[float, ...] | None:
    if not text:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{option} {text} is not accepted; it is three numbers with commas between them.",
            hint=f"For example {option} 0.5,0.5,0.5.",
        ) from None
