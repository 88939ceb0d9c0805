import errno
import json
import os
import resource
import stat
import subprocess
import sys
import threading

import pytest

from attn_inject.errors import FileError
from attn_inject.files import atomic
from attn_inject.files.atomic import atomic_write, check_writable


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, data=b"new", **options):
    with atomic_write(path, **options) as file:
        file.write(data)


def test_the_target_appears_whole_and_alone(tmp_path):
    target = tmp_path / "model.pt"
    with atomic_write(target) as file:
        file.write(b"ne")
        assert not target.exists()
        file.write(b"w")
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["model.pt"]


def test_an_existing_file_needs_force_and_keeps_its_permissions(tmp_path):
    target = tmp_path / "model.pt"
    target.write_bytes(b"old")
    target.chmod(0o640)
    with pytest.raises(FileError, match="exists already") as failure:
        write(target)
    assert "--force" in failure.value.hint
    assert failure.value.exit_code == 9
    assert target.read_bytes() == b"old"
    write(target, force=True)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_new_file_has_the_permissions_that_any_new_file_has(tmp_path):
    (tmp_path / "other").write_bytes(b"")
    write(tmp_path / "model.pt")
    assert (tmp_path / "model.pt").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_another_run_wrote_meanwhile_is_not_replaced(tmp_path):
    target = tmp_path / "model.pt"
    with pytest.raises(FileError, match="exists already"), atomic_write(target):
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == ["model.pt"]


def test_a_disk_without_links_is_served(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "model.pt")
    assert names(tmp_path) == ["model.pt"]
    with pytest.raises(FileError, match="exists already"), atomic_write(tmp_path / "b.pt"):
        (tmp_path / "b.pt").write_bytes(b"theirs")
    assert (tmp_path / "b.pt").read_bytes() == b"theirs"


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "model.pt", tmp_path / "link.pt"
    link.symlink_to(target)
    write(link)
    write(link, b"newer", force=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"newer"


def folder_without_permission(tmp_path):
    if os.geteuid() == 0:
        return "/proc"  # where even root cannot make a file
    tmp_path.chmod(0o500)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        pytest.param(
            lambda tmp: tmp / "no" / "such" / "m.pt", "the folder .*/no/such does not exist", id="missing"
        ),
        pytest.param(lambda tmp: tmp / "file" / "m.pt", "/file is a file", id="below a file"),
        pytest.param(lambda tmp: tmp / "file" / "a" / "m.pt", "/file is a file", id="far below a file"),
        pytest.param(lambda tmp: tmp, "is a folder", id="a folder"),
        pytest.param(lambda tmp: tmp / "pipe", "not a regular file", id="a pipe"),
        pytest.param(lambda tmp: tmp / ("m" * 300), "File name too long", id="a name too long"),
        pytest.param(
            lambda tmp: f"{folder_without_permission(tmp)}/m.pt", "cannot be written", id="permission"
        ),
    ],
)
def test_a_target_that_cannot_be_one_is_refused_before_any_work(tmp_path, target, message):
    (tmp_path / "file").write_bytes(b"kept")
    os.mkfifo(tmp_path / "pipe")  # never a device of the machine: as root, a fault here would replace it
    with pytest.raises(FileError, match=message):
        write(target(tmp_path), force=True)
    assert (tmp_path / "file").read_bytes() == b"kept"
    assert (tmp_path / "pipe").is_fifo()
    assert names(tmp_path) == ["file", "pipe"]


def test_the_check_alone_writes_nothing(tmp_path):
    target = tmp_path / "model.pt"
    assert check_writable(target) == target
    assert names(tmp_path) == []
    target.write_bytes(b"old")
    assert check_writable(target, force=True) == target
    with pytest.raises(FileError, match="exists already"):
        check_writable(target)


@pytest.mark.parametrize("old", [b"old", None])
@pytest.mark.parametrize("raised", [RuntimeError("ours"), KeyboardInterrupt(), OSError(errno.EIO, "foreign")])
def test_what_fails_in_the_block_passes_through_and_leaves_nothing(tmp_path, old, raised):
    target = tmp_path / "model.pt"
    if old:
        target.write_bytes(old)

    def fail():
        with atomic_write(target, force=True) as file:
            file.write(b"half")
            raise raised

    with pytest.raises(type(raised)) as failure:
        fail()
    assert failure.value is raised
    assert names(tmp_path) == (["model.pt"] if old else [])
    assert not old or target.read_bytes() == old


@pytest.mark.parametrize("size", [100, 1_000_000])
def test_a_full_disk_leaves_the_old_file_and_no_partial_one(tmp_path, size):
    target = tmp_path / "model.pt"
    target.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(FileError, match="cannot be written: File too large") as failure:
            write(target, b"x" * (size + 1), force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Free some space" in failure.value.hint
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["model.pt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_late_is_reported(tmp_path, monkeypatch, call):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    target = tmp_path / "model.pt"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(FileError, match="No space left on device"):
        write(target, force=True)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["model.pt"]


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path):
    target = tmp_path / "model.pt"
    dead = tmp_path / f"{atomic.hidden_prefix(target)}0123.tmp"
    other = tmp_path / f"{atomic.hidden_prefix(tmp_path / 'other.pt')}0123.tmp"
    dead.write_bytes(b"half")
    other.write_bytes(b"half")
    with atomic_write(target, force=True) as outer:
        outer.write(b"outer")
        assert not dead.exists()
        living = [name for name in names(tmp_path) if name.startswith(atomic.hidden_prefix(target))]
        write(target, b"inner", force=True)
        assert living[0] in names(tmp_path)
    assert target.read_bytes() == b"outer"
    assert names(tmp_path) == sorted(["model.pt", other.name])


def test_many_writers_of_one_target_do_not_disturb_each_other(tmp_path):
    target = tmp_path / "model.pt"
    failures = []

    def run(letter):
        try:
            for _ in range(30):
                write(target, letter * 10_000, force=True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(bytes([65 + index]),)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set(target.read_bytes())) == 1
    assert target.stat().st_size == 10_000
    assert names(tmp_path) == ["model.pt"]


KILLED = """
import json, os, random, signal, sys, time
import torch
from attn_inject.files.atomic import atomic_write
folder, kills = sys.argv[1], int(sys.argv[2])
target = os.path.join(folder, "model.pt")
states = [{"w": torch.full((400_000,), float(i))} for i in range(2)]
whole = []
for state in states:
    with atomic_write(target, force=True) as file:
        torch.save(state, file)
    whole.append(open(target, "rb").read())
random.seed(0)
broken = halves = 0
for _ in range(kills):
    ready, start = os.pipe()
    child = os.fork()
    if not child:
        os.write(start, b"x")
        while True:
            for state in states:
                with atomic_write(target, force=True) as file:
                    torch.save(state, file)
    os.read(ready, 1)
    time.sleep(random.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    broken += open(target, "rb").read() not in whole
    halves += len(os.listdir(folder)) > 1
with atomic_write(target, force=True) as file:
    torch.save(states[0], file)
print(json.dumps({"broken": broken, "halves": halves, "left": os.listdir(folder)}))
"""


def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), "15"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    result = json.loads(run.stdout)
    assert result["broken"] == 0
    assert result["halves"] > 0  # some kills did hit a write
    assert result["left"] == ["model.pt"]
