"""A few of the cases of `kills`, `mutations` and `fuzz`, and faults of the disk."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import attn_inject
from attn_inject.cli.main import main
from tests.nets import make_generic
from tests.reliability import fuzz, mutations

IMAGE = torch.randn(1, *mutations.SIZE, generator=torch.Generator().manual_seed(1))


def test_kills_leave_the_old_file_or_a_whole_new_one():
    # In a process of its own, since a fork of one with threads may wait for ever.
    script = (
        "from tests.reliability.kills import GOOD, run\n"
        "left = run(10, 0, 'test_resnet')\n"
        "assert len(left) == 5 and not {k for found in left.values() for k in found} - GOOD, left"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=300)


def test_damaged_files_load_as_what_was_saved_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = mutations.run(40)
    assert sum(ended.values()) >= 60
    assert any("refused" in ending for ending in ended)


def test_fuzzed_texts_are_read_or_refused_with_a_sentence():
    readers = ["specs", "globs", "name templates", "recipes", "zoo.toml", "lists", "ledgers", "config.json"]
    tallies = dict(fuzz.run(0.005, 5, readers))
    assert [*tallies] == readers
    assert {name: tally.faults for name, tally in tallies.items() if tally.faults} == {}
    assert sum(sum(tally.endings.values()) for tally in tallies.values()) >= 80


@pytest.fixture
def model():
    return make_generic(attn_inject.inject("test_resnet", "se", input_size=(3, 64, 64), check="off").model)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_is_in_use_is_replaced_under_its_reader(tmp_path, model, suffix):
    path = attn_inject.save(model, tmp_path / f"model{suffix}")
    reader = attn_inject.load(path, verify=False)
    with torch.no_grad():
        expected = model.eval()(IMAGE)
        make_generic(model, seed=1)
        attn_inject.save(model, path, force=True)
        assert torch.equal(reader(IMAGE), expected)
        assert torch.equal(attn_inject.load(path)(IMAGE), model.eval()(IMAGE))


@pytest.mark.parametrize("command", ["export {file} --out {out}.pt2", "restore {file} --out {out}"])
@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("folder", "is a folder"),
        ("none/x", "does not exist"),
        ("file/x", "is a file"),
        ("taken", "exists already"),
    ],
)
def test_targets_that_cannot_be_written_end_with_nine(tmp_path, model, capsys, command, out, told):
    file = attn_inject.save(model, tmp_path / "model.pt")
    for name in ("folder", "folder.pt2"):
        (tmp_path / name).mkdir()
    for name in ("file", "taken", "taken.pt2"):
        (tmp_path / name).write_text("old")
    before = sorted(path.name for path in tmp_path.iterdir())
    code = main(command.format(file=file, out=tmp_path / out).split())
    assert code == 9
    error = capsys.readouterr().err
    assert told in error
    assert "Errno" not in error
    assert "Traceback" not in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "taken").read_text() == "old"


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from attn_inject.cli.main import main
import attn_inject.operate.inject, attn_inject.files.exports.program
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "command",
    [
        "export {file} --out {folder}/out.pt2 --force",
        "export {file} --out {folder}/out.safetensors --force",
        "restore {file} --out {folder}/out.pt --force",
        "test_resnet --attn se --out {folder}/out.pt --check off --force",
    ],
)
def test_a_full_disk_ends_with_nine_and_loses_nothing(tmp_path, model, command):
    file = attn_inject.save(model, tmp_path / "model.pt")
    out = command.split("/out")[1].split()[0]
    (tmp_path / f"out{out}").write_text("old")
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            FULL_DISK,
            *command.format(file=file, folder=tmp_path).split(),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path != file} == {
        f"out{out}": b"old"
    }


@pytest.mark.parametrize("command", ["show {0}", "restore {0} --out {1}", "export {0} --out {1}.pt2"])
@pytest.mark.parametrize("kind", ["cut", "empty", "text", "folder", "missing"])
def test_files_that_cannot_be_read_are_told_in_a_sentence(tmp_path, model, capsys, kind, command):
    path = attn_inject.save(model, tmp_path / "model.pt")
    if kind in ("missing", "folder"):
        path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes({"cut": path.read_bytes()[:-1000], "empty": b"", "text": b"hello"}[kind])
    assert main(command.format(path, tmp_path / "out").split()) == 9
    error = capsys.readouterr().err
    assert str(path) in error
    assert not any(word in error for word in ("Errno", "Traceback", "PytorchStreamReader", "zip archive"))


def test_weights_that_are_cut_short_are_told_in_a_sentence(tmp_path, capsys):
    for name in ("w.pt", "w.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04" + b"x" * 100)
        arguments = ["test_resnet", "--attn", "se", "--weights", str(tmp_path / name), "--dry-run"]
        assert main(arguments) == 9
        error = capsys.readouterr().err
        assert "Errno" not in error
        assert name in error
