"""The examples of every command are words that the program takes; the guides run such commands for real."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import typer

from attn_inject.cli.main import app
from tests.docs.writers.cli import commands, examples

LINES = [(name, line) for name, command in commands().items() for line in examples(command).splitlines()]


@pytest.mark.parametrize(("name", "line"), LINES, ids=[line for _, line in LINES])
def test_an_example_is_understood(name, line):
    program: Any = typer.main.get_command(app)
    words = shlex.split(line.partition(" > ")[0])
    assert words[0] == "attn-inject"
    context = program.make_context("attn-inject", words[1:])
    chosen, command, rest = program.resolve_command(context, [*context._protected_args, *context.args])
    assert chosen == name
    assert not command.make_context(chosen, rest, parent=context).args
