"""The public package: every name exists, and importing it imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import attn_inject


def test_importing_the_package_imports_no_torch():
    code = (
        "import sys, attn_inject; dir(attn_inject); sys.exit('torch' in sys.modules or 'rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_type_checkers_see_the_names_that_are_loaded_late():
    tree = ast.parse(Path(attn_inject.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    late = {name: attn_inject._HOMES.get(name) for name in attn_inject.__all__}
    assert imported == {name: home for name, home in late.items() if name != "__version__"}


@pytest.mark.parametrize("name", attn_inject.__all__)
def test_every_name_is_there(name):
    assert getattr(attn_inject, name)
    assert name in dir(attn_inject)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'injekt'"):
        _ = attn_inject.injekt
