"""The program `attn-inject`: its commands and its entry point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape

import attn_inject
from attn_inject.cli import (
    diff,
    doctor,
    export,
    fit,
    inject,
    list,
    look,
    options,
    prune,
    push,
    restore,
    show,
    sites,
    stats,
    zoo,
)
from attn_inject.cli.boundary import EXIT_CODES, Command, run
from attn_inject.cli.group import InjectByDefault
from attn_inject.cli.requested import EXAMPLE

_MAIN_OPTIONS = """

Main options of `attn-inject MODEL`; `attn-inject inject --help` shows all:

what      --attn SPEC        the module: se, ela-l, 'layer4.*=sa:groups=8'
          --start WORD       identity keeps the outputs, paper does not
where     --placement NAME   after, before-add, ...: see `list placements`
          --stage 3,4        also --where GLOB, --skip GLOB, --at GLOB
weights   --pretrained       the published ones
          --weights FILE     yours: a path, https://, hf-hub:ORG/NAME
model     --num-classes N    also --input-size C,H,W, --model-arg KEY=VALUE
output    --out FILE         .pt or .safetensors; or --dry-run, --json
"""

EPILOG = (
    options.examples(
        EXAMPLE,
        "attn-inject sites resnet50",
        "attn-inject stats resnet50 --attn se --attn ela-l",
    )
    + escape(_MAIN_OPTIONS)
    + "\n\nExit codes:\n"
    + "\n".join(f"{code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
)

app = typer.Typer(
    name="attn-inject",
    cls=InjectByDefault,
    rich_markup_mode="rich",
    subcommand_metavar="MODEL --attn SPEC --out FILE | COMMAND ...",
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog=EPILOG,
)
app.command("inject", cls=Command, epilog=inject.EPILOG, context_settings={"allow_extra_args": True})(
    inject.inject
)
app.command("stats", cls=Command, epilog=stats.EPILOG)(stats.stats)
app.command("fit", cls=Command, epilog=fit.EPILOG)(fit.fit)
app.command("sites", cls=Command, epilog=sites.EPILOG)(sites.sites)
app.command("list", cls=Command, epilog=list.EPILOG)(list.list_names)
app.command("show", cls=Command, epilog=show.EPILOG)(show.show)
app.command("diff", cls=Command, epilog=diff.EPILOG)(diff.diff)
app.command("export", cls=Command, epilog=export.EPILOG)(export.export)
app.command("push", cls=Command, epilog=push.EPILOG)(push.push)
app.command("restore", cls=Command, epilog=restore.EPILOG)(restore.restore)
app.command("look", cls=Command, epilog=look.EPILOG)(look.look)
app.command("prune", cls=Command, epilog=prune.EPILOG)(prune.prune)
app.command("zoo", cls=zoo.ZooCommand, epilog=zoo.EPILOG)(zoo.zoo)
app.command("doctor", cls=Command, epilog=doctor.EPILOG)(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"attn-inject {attn_inject.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Insert an attention module into any timm or torchvision model, and prove that the model survived."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program on `arguments`, or on the command line's, and return its exit code."""
    return run(typer.main.get_command(app), arguments)
