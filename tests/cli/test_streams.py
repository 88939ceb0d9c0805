"""Terminals and pipes: what goes where, in processes of their own; none of these imports torch."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest

from attn_inject.cli.main import main
from attn_inject.cli.working import print_notes, working

PROGRAM = [sys.executable, "-m", "attn_inject"]
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What a terminal 80 columns wide is sent."""
    outside, inside = pty.openpty()
    settings = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    settings |= {"TERM": "xterm-256color", "COLUMNS": "80"} | environment
    process = subprocess.Popen([*PROGRAM, *arguments], stdout=inside, stderr=inside, env=settings)
    os.close(inside)
    sent = b""
    try:
        while chunk := os.read(outside, 65536):
            sent += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    process.wait()
    os.close(outside)
    return sent.decode()


def test_a_terminal_gets_rules_and_wrapping_and_a_pipe_plain_columns():
    shown = on_a_terminal("list", "placements")
    assert "───" in shown
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80
    piped = subprocess.run(
        [*PROGRAM, "list", "placements"], capture_output=True, text=True, check=True
    ).stdout
    assert piped.isascii()
    assert piped.splitlines()[1].startswith("after              the block's output, after the addition")


def test_errors_are_coloured_on_a_terminal_unless_no_color_is_set():
    assert COLOUR.search(on_a_terminal("list", "x[34]"))
    plain = on_a_terminal("list", "x[34]", NO_COLOR="1")
    assert not COLOUR.search(plain)
    assert "'x[34]'" in plain


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["list", "--json"], ["--version"]])
def test_a_closed_pipe_is_no_error(arguments):
    process = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), complaint) == (0, b"")


def test_text_that_stdout_cannot_encode_is_spelled_out(api, monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert main(["sites", "modèle"]) == 0
    assert sys.stdout.buffer.getvalue().startswith(b"3 sites in mod\\xe8le, ")  # type: ignore[attr-defined]


LIGHT = [
    ["--help"],
    ["--version"],
    *([name, "--help"] for name in ("inject", "stats", "sites", "list", "show", "zoo", "doctor")),
    ["list"],
    ["list", "attention", "--json"],
    ["list", "placements"],
    ["list", "formats"],
    ["resnet50", "--attn", "sse"],
]
LIGHT_PROGRAM = """
import json, sys
from attn_inject.cli.main import main
for arguments in json.loads(sys.argv[1]):
    main(arguments)
    heavy = {"torch", "torchvision", "timm", "fvcore", "numpy", "safetensors"} & set(sys.modules)
    if heavy:
        sys.exit(f"{arguments} imported {heavy}")
"""


def test_help_lists_and_typos_import_nothing_heavy():
    command = [sys.executable, "-c", LIGHT_PROGRAM, json.dumps(LIGHT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: attn-inject") == 8


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_on_a_terminal_only(monkeypatch):
    for stream, quiet, is_shown in [
        (Terminal(), False, True),
        (Terminal(), True, False),
        (io.StringIO(), False, False),
    ]:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("FORCE_COLOR", "1")
        with working("loading", quiet=quiet) as progress:
            progress("counting [3]")
        assert ("counting [3]" in stream.getvalue()) is is_shown


def test_what_libraries_print_goes_to_stderr_even_behind_a_spinner(monkeypatch, capsys):
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        with working("loading"):
            print("noise")
        print("data")
        assert "noise" in stream.getvalue()
        assert capsys.readouterr().out == "data\n"


def test_quiet_notes(capsys):
    print_notes(["one"], quiet=True)
    print_notes(["two [x]"])
    assert capsys.readouterr().err == "note: two [x]\n"
