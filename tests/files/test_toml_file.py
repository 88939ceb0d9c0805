"""Extreme TOML gives an error with the file and the line, and takes no time."""

from __future__ import annotations

import time

import pytest

from attn_inject.cli.main import main
from attn_inject.errors import AttnInjectError, FileError, UsageError
from attn_inject.files.request_toml import read_recipe
from attn_inject.files.toml_file import LARGEST
from attn_inject.zoo.zoo_file import read_toml

START = 'attn = "se"\n'
ABSURD = {
    "deep lists": ("model-arg = " + "[" * 100_000, UsageError, "too deep"),
    "lists in lists": ("model-arg = " + "[" * 40 + "]" * 40, UsageError, "line 2: model-arg holds more than"),
    "deep tables": (".".join(["model-arg", *"a" * 40]) + " = 1", UsageError, "line 2: model-arg holds more"),
    "a long number": ("seed = " + "9" * 5000, UsageError, "digits"),
    "a large number": ("seed = " + "9" * 30, UsageError, "line 2: seed holds a whole number"),
    "a large number inside": (
        "[model-arg]\nx = [" + "9" * 30 + "]",
        UsageError,
        "model-arg holds a w",
    ),
    "a date": ("[model-arg]\nx = 2026-01-01", UsageError, "line 2: model-arg holds 2026-01-01, a date"),
    "a key of many parts": (".".join("a" * 300_000) + " = 1", UsageError, "a key with more than 100 dots"),
    "a quoted key": (".".join(['"a b"'] * 100_000) + " = 1", UsageError, "a key with more than 100 dots"),
    "a key in a table": (
        'x = [""" " """, {' + ".".join("a" * 100_000) + " = 1}]",
        UsageError,
        "a key with more",
    ),
    "too long": ("#" * LARGEST, FileError, "is longer than"),
    "no text": (b"\xff\xfe", FileError, "is not a text file"),
}


@pytest.mark.parametrize("read", [read_recipe, read_toml])
@pytest.mark.parametrize("case", ABSURD)
def test_absurd_content_is_told(tmp_path, case, read):
    text, error, told = ABSURD[case]
    path = tmp_path / "plan.toml"
    path.write_bytes(text if isinstance(text, bytes) else (START + text).encode())
    with pytest.raises(AttnInjectError, match=told) as caught:
        read(path)
    assert type(caught.value) is error
    assert str(path) in caught.value.message


@pytest.mark.parametrize("path", ["gone.toml", "a\0b.toml", "a" * 5000 + ".toml", "."])
def test_paths_that_lead_to_no_file_are_told(tmp_path, path):
    with pytest.raises(FileError):
        read_recipe(path)


NINES = "9" * 5000
DRY = ("test_resnet", "--attn", "se", "--dry-run")
ZOO = ("zoo", "test_resnet", "--attn", "se", "--out-dir", "zoo", "--dry-run")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("zoo",), 2),
        (("zoo", "--ray"), 2),
        ((*DRY, "--stage", NINES), 2),
        ((*DRY, "--input-size", NINES), 2),
        ((*DRY, "--seed", "9" * 30), 2),
        ((*DRY, "--seed", "-1"), 2),
        ((*ZOO, "--memory-limit", "9" * 400 + "GiB"), 2),
        ((*ZOO, "--timeout", "9" * 400 + "h"), 2),
        (("zoo", "test_resnet", "--attn", "se", "--out-dir", "a" * 5000, "--dry-run"), 9),
        (("zoo", "test_resnet", "--attn", "se", "--out-dir", "a\0b", "--dry-run"), 9),
        (("zoo", "a" * 5000 + ".pt", "--attn", "se", "--out-dir", "zoo", "--dry-run"), 9),
    ],
)
def test_absurd_arguments_are_told(tmp_path, monkeypatch, capsys, arguments, code):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("read", [read_recipe, read_toml])
def test_a_very_long_blank_line_takes_no_time(tmp_path, read):
    path = tmp_path / "plan.toml"
    path.write_text(START + 'where = """\n[' + " " * 100_000 + '\n"""\n' + " " * 900_000 + "\n")
    began = time.monotonic()
    read(path)
    assert time.monotonic() - began < 2
