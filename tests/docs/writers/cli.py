"""The command line, from the program itself: what `--help` says of every command."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import typer
from rich.text import Text

from attn_inject.cli.main import app
from tests.docs.writers.markdown import code, table


def commands() -> dict[str, Any]:
    """Every command by name."""
    program: Any = typer.main.get_command(app)
    return dict(program.commands)


def reference() -> str:
    """One section per command."""
    return "\n\n".join(_section(name, command) for name, command in commands().items())


def _section(name: str, command: Any) -> str:
    usage = " ".join(["attn-inject", name, *_usage(command)])
    return "\n\n".join(
        [
            f"## {name}",
            command.help.strip(),
            f"```text\n{usage}\n```",
            *_tables(parameter for parameter in command.params if not getattr(parameter, "hidden", False)),
            f'```bash title="examples"\n{examples(command)}\n```',
        ]
    )


def _usage(command: Any) -> Iterator[str]:
    yield "[OPTIONS]"
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            repeated = "..." if parameter.nargs == -1 else ""
            word = f"{parameter.metavar}{repeated}"
            yield word if parameter.required else f"[{word}]"


def _tables(parameters: Iterable[Any]) -> Iterator[str]:
    by_panel: dict[str, list[Any]] = defaultdict(list)
    for parameter in parameters:
        by_panel[_panel(parameter)].append(parameter)
    for panel, group in by_panel.items():
        first = "argument" if panel == "Arguments" else "option"
        yield f"**{panel}**\n\n{table(f'{first}|meaning|default', map(_row, group))}"


def _panel(parameter: Any) -> str:
    return parameter.rich_help_panel or (
        "Arguments" if parameter.param_type_name == "argument" else "Options"
    )


def _row(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        names = code(parameter.metavar)
    else:
        names = ", ".join(map(code, (*parameter.opts, *parameter.secondary_opts)))
        names += "" if parameter.is_flag else f" {code(parameter.metavar)}"
    default = parameter.default
    is_value = isinstance(default, str | int) and not isinstance(default, bool)
    return names, parameter.help or "", code(str(default)) if is_value else ""


def examples(command: Any) -> str:
    """The example lines at the end of a command's help."""
    lines = Text.from_markup(command.epilog).plain.splitlines()
    return "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
