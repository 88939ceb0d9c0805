"""The program as a whole: its commands, their help, completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.text import Text

from attn_inject import cli
from attn_inject.cli.main import app
from attn_inject.cli.options import examples

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SHARED = {
    "completion",
    "attempt",
    "boundary",
    "diagnosis",
    "group",
    "main",
    "misplaced",
    "options",
    "stopping",
    "requested",
    "table_options",
    "image_options",
    "working",
    "zoo_display",
}


def test_one_file_a_command():
    files = {path.stem for path in Path(cli.__file__).parent.glob("[a-z]*.py")}
    assert files - SHARED == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_an_example(program, name):
    outcome = program(name, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert "Examples:" in outcome.out
    assert "$ attn-inject" in outcome.out
    assert program(name, "-h").out == outcome.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name):
    assert not [parameter.name for parameter in COMMANDS[name].params if not parameter.help]


def test_brackets_survive_in_examples(program):
    assert "--attn 'layer[34].*=sa'" in program("inject", "--help").out
    assert Text.from_markup(examples("a '[bc]*'")).plain == "Examples:\n$ a '[bc]*'"


def test_version(program):
    assert program("--version").out.startswith("attn-inject ")


def complete(line: str) -> list[str]:
    environment = os.environ | {
        "_ATTN_INJECT_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    code = "import sys; from attn_inject.cli.main import main; sys.exit(main([]))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "suggested"),
    [
        ("attn-inject si", "sites"),
        ("attn-inject resnet50 --plac", "--placement"),
        ("attn-inject resnet50 --attn ela-", "ela-t"),
        ("attn-inject --placement before-a", "before-add"),
    ],
)
def test_completion(line, suggested):
    assert suggested in complete(line)
