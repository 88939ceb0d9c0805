"""Every failure has its exit code, its sentence and its document; ours alone keep a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from attn_inject import errors
from attn_inject.cli.boundary import EXIT_CODES, is_broken_library
from attn_inject.errors import AttnInjectError

RUN = ("resnet50", "--attn", "layer[34].*=se", "--dry-run")


def all_errors(root: type[AttnInjectError] = AttnInjectError) -> list[type[AttnInjectError]]:
    return [root, *(found for child in root.__subclasses__() for found in all_errors(child))]


def test_every_exit_code_is_unique_and_documented(program):
    codes = [error.exit_code for error in all_errors()]
    assert len(codes) == len(set(codes))
    assert {0, *codes} == set(EXIT_CODES)
    printed = " ".join(program("--help").out.split())
    assert all(f"{code} {meaning}" in printed for code, meaning in EXIT_CODES.items())


@pytest.mark.parametrize("error", [error for error in all_errors() if error.exit_code not in (1, 2)])
def test_a_failure_is_a_sentence_a_hint_and_a_code(program, api, error):
    api.failure = error("Block layer[34].0 of [bold]x[/bold] failed.", hint="Try layer[1].*.")
    plain = program(*RUN)
    assert (plain.code, plain.out) == (error.exit_code, "")
    assert plain.err == "error: Block layer[34].0 of [bold]x[/bold] failed.\nhint: Try layer[1].*.\n"
    told = program(*RUN, "--json")
    assert (told.code, told.err) == (plain.code, plain.err)
    message, hint = "Block layer[34].0 of [bold]x[/bold] failed.", "Try layer[1].*."
    assert told.document == {"error": {"code": error.code, "message": message, "hint": hint}}


def test_a_usage_error_of_the_api_puts_nothing_on_stdout(program, api):
    api.failure = errors.UsageError("No.")
    outcome = program(*RUN, "--json")
    assert (outcome.code, outcome.out, outcome.err) == (2, "", "error: No.\n")


@pytest.mark.parametrize("failure", [ZeroDivisionError("by [zero]"), AttnInjectError("ours")])
def test_our_bug_keeps_its_traceback(program, api, failure):
    api.failure = failure
    outcome = program(*RUN, "--json")
    assert outcome.code == 1
    assert outcome.document["error"]["code"] == "internal"
    assert outcome.err.startswith("Traceback")
    assert f"{failure}" in outcome.err
    assert program(*RUN).out == ""


def test_interruption(program, api):
    api.failure = KeyboardInterrupt()
    outcome = program(*RUN, "--json")
    assert (outcome.code, outcome.document["error"]["code"]) == (130, "interrupted")
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("error", "is_broken"),
    [
        (ImportError("cannot import name 'x' from 'torch'", name="torch"), True),
        (ModuleNotFoundError("No module named 'timm.layers'", name="timm.layers"), True),
        (ImportError("no", name="torches"), False),
        (ImportError("no", name="attn_inject.operate.inject"), False),
        (ImportError("no"), False),
        (RuntimeError("operator torchvision::nms does not exist"), False),
    ],
)
def test_which_errors_are_a_broken_library(error, is_broken):
    assert is_broken_library(error) is is_broken


@pytest.mark.parametrize(
    ("library", "body"),
    [
        ("torch", "raise OSError('libcudart.so: no such file')"),
        ("torch", "raise RuntimeError('operator torchvision::nms does not exist')"),
        ("torch", "import module_that_is_not_there"),
    ],
)
def test_a_library_that_does_not_import_is_told_without_a_traceback(tmp_path, library, body):
    (tmp_path / f"{library}.py").write_text(body)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "attn_inject", "sites", "resnet50", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "missing-extra"
    assert "`attn-inject doctor`" in done.stderr
    assert "Traceback" not in done.stderr


def test_control_characters_do_not_reach_the_terminal(program, api):
    api.failure = errors.ModelError("\x1b[31mred\x07")
    assert program(*RUN).err == "error: \\x1b[31mred\\x07\n"


@pytest.mark.filterwarnings("always")
def test_warnings_are_one_line(program, api):
    api.warning = "mind [the] gap"
    outcome = program("sites", "resnet50")
    assert (outcome.code, outcome.err) == (0, "warning: mind [the] gap\n")
