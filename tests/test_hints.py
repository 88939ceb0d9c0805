"""A hint is read in Python and at a shell: an option is in brackets after its Python name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import attn_inject

ROOMS = ("sites", "checks", "cost", "models")
FILES = [path for room in ROOMS for path in sorted(Path(attn_inject.__file__).parent.glob(f"{room}/*.py"))]
COMMANDS = re.compile(r"`[^`]*`|attn-inject .*")
BRACKETS = re.compile(r"\w \(--[^)]*\)")


def hints(file: Path) -> Iterator[str]:
    """The literal text of every `hint=` in a file; what is filled in is left out."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.keyword) and node.arg == "hint":
            constants = (leaf for leaf in ast.walk(node.value) if isinstance(leaf, ast.Constant))
            yield "".join(str(constant.value) for constant in constants)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_hints_serve_both_readers(file):
    bare = [hint for hint in hints(file) if "--" in BRACKETS.sub("", COMMANDS.sub("", hint))]
    assert bare == []


def test_there_are_such_hints():
    assert sum("(--" in hint for file in FILES for hint in hints(file)) > 5
