"""Disks that refuse: read-only folders, renames and links that fail, long names, and two zoos at a time."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

import attn_inject
from attn_inject.cli.main import main
from attn_inject.errors import FileError
from attn_inject.zoo.place import LocalPlace
from tests.zoo.conftest import digests

FILE = "factory/tests.zoo.factories-tiny.se.pt"
SMALL = ["test_resnet", "--attn", "se", "--input-size", "32", "--check", "off", "--quiet"]
INJECT = [*SMALL, "--force", "--out"]


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def powerless():
    """As a user who may not write everywhere."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def read_only():
    # Not in pytest's folder, which only its user may enter.
    folder = Path(tempfile.mkdtemp())
    (folder / "model.pt").write_bytes(b"old")
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_folder_is_told_before_the_first_model(zoo, read_only, capsys):
    # Everything is imported first, since only the first user may be able to read the libraries.
    assert main([*SMALL, "--dry-run"]) == 0
    capsys.readouterr()
    with powerless():
        with pytest.raises(FileError, match=r"ledger\.jsonl cannot be written: Permission denied"):
            zoo("tiny", out_dir=read_only)
        with pytest.raises(FileError, match=r"cannot be used: Permission denied"):
            zoo("tiny", out_dir=read_only / "zoo")
        assert main([*INJECT, str(read_only / "model.pt")]) == 9
        assert main([*INJECT, str(read_only / "new.pt")]) == 9
    error = capsys.readouterr().err
    assert error.count("error: ") == 2
    assert "Traceback" not in error
    assert everything(read_only) == {read_only / "model.pt": b"old"}


def refusing(number, calls):
    """Calls of the system that move or link a file, which all fail."""

    def refuse(*_, **__):
        calls.append(number)
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EACCES])
def test_a_rename_that_fails_leaves_the_old_file(tmp_path, monkeypatch, capsys, number):
    target, folder, calls = tmp_path / "model.pt", tmp_path / "folder", []
    assert main([*INJECT, str(target)]) == 0
    attn_inject.export(target, folder, format="hub")
    before = everything(tmp_path)
    for name in ("link", "rename", "replace"):
        monkeypatch.setattr(os, name, refusing(number, calls))
    export = ["export", str(target), "--quiet", "--force", "--out"]
    for command in (
        [*INJECT, str(target)],
        [*INJECT, str(tmp_path / "new.pt")],
        ["restore", str(target), "--quiet", "--force", "--out", str(tmp_path / "base.pt")],
        [*export, str(tmp_path / "model.safetensors")],
        [*export, str(folder), "--format", "hub"],
    ):
        assert main(command) == 9, command
        error = capsys.readouterr().err
        assert f"cannot be written: {os.strerror(number)}." in error
        assert "Traceback" not in error
    assert len(calls) >= 5
    assert everything(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "model.pt"]


def test_an_output_folder_on_two_disks_is_filled_by_copies(zoo, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("attn_inject.zoo.place.publish", refusing(errno.EXDEV, calls))
    done = zoo("tiny")["tiny"]
    assert digests(tmp_path / "zoo") == {FILE: done.digest}
    assert calls
    assert not [*(tmp_path / "zoo").rglob(".attn-inject-*")]
    assert zoo("tiny")["tiny"].reused


def test_a_rename_that_is_not_allowed_is_a_failure_of_that_model(zoo, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("attn_inject.zoo.place.publish", refusing(errno.EACCES, []))
        failure = zoo("tiny")["tiny"].failure
    assert failure.code == "file"
    assert "Permission denied" in failure.message
    assert not [*(tmp_path / "zoo").rglob(".attn-inject-*")]
    assert not zoo("tiny")["tiny"].reused
    assert digests(tmp_path / "zoo").keys() == {FILE}


def test_a_disk_without_links_holds_a_zoo_and_replaces_nothing(zoo, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "link", refusing(errno.EPERM, calls))
    assert zoo("tiny")["tiny"].is_done
    assert calls
    place, made = LocalPlace(str(tmp_path / "zoo")), tmp_path / "made.pt"
    made.write_bytes(b"new")
    before = everything(tmp_path / "zoo")
    with pytest.raises(FileError, match="exists already"):
        place.publish(made, FILE, force=False)
    assert everything(tmp_path / "zoo") == before
    assert main([*INJECT, str(tmp_path / "one.pt")]) == 0


def test_names_of_255_bytes(zoo, tmp_path):
    long = "ü" * 126
    target = tmp_path / f"{long}.pt"
    assert len(os.fsencode(target.name)) == 255
    for _ in range(2):
        assert main([*INJECT, str(target)]) == 0
    attn_inject.export(target, tmp_path / (long + "fff"), format="hub")
    attn_inject.export(target, tmp_path / (long + "fff"), format="hub", force=True)
    assert attn_inject.describe(tmp_path / (long + "fff"))["digest"] == attn_inject.describe(target)["digest"]
    folder = tmp_path / (long + "zoo")
    done = zoo("tiny", out_dir=folder, name_template="x" * 300 + "/{model}" + "y" * 300)
    [name] = digests(folder)
    assert {len(os.fsencode(part)) for part in name.split("/")} <= set(range(256))
    assert done["tiny"].file == name
    path = folder / name
    path.write_bytes(b"changed")
    assert not zoo("tiny", out_dir=folder, name_template="x" * 300 + "/{model}" + "y" * 300)["tiny"].reused
    assert sorted(len(kept.read_bytes()) > 10 for kept in path.parent.iterdir()) == [False, True]


def test_of_two_zoos_that_begin_in_the_same_moment_one_is_refused(zoo, tmp_path):
    begin, answers = threading.Barrier(2), []

    def run():
        begin.wait()
        try:
            answers.append(zoo("slow", model_args={"seconds": 1.5})["slow"].status)
        except FileError as error:
            answers.append(error.message)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [f"Another zoo is writing to {tmp_path / 'zoo'}.", "done"]
    assert len(digests(tmp_path / "zoo")) == 1
