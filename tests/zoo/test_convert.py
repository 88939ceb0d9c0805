"""Whole zoos of tiny models in processes of their own: results, isolation, resume, places."""

from __future__ import annotations

import json
import os
import sys

import fsspec
import pytest
import torch

import attn_inject
from attn_inject.errors import AttnInjectError, FileError, UnknownNameError, UsageError
from attn_inject.zoo.ledger import read_ledger
from attn_inject.zoo.manifest import Options, make_zoo
from attn_inject.zoo.place import LocalPlace
from attn_inject.zoo.run import NullWatcher, preview
from tests.zoo.conftest import FACTORIES, digests

FILE = "factory/tests.zoo.factories-{}.se.pt"


def test_files_records_and_summaries_agree(zoo, tmp_path):
    records = zoo("tiny", "other", "plain", each_attn=["se", "ela-l"], attn=())
    folder = tmp_path / "zoo"
    assert sorted(records) == ["other", "plain", "tiny"]
    kept = {
        file: record
        for file, record in read_ledger(LocalPlace(str(folder))).records.items()
        if record.is_done
    }
    assert {file: record.digest for file, record in kept.items()} == digests(folder)
    assert len(kept) == 4
    for file, record in kept.items():
        model = attn_inject.load(folder / file, trust=True)
        assert sum(p.numel() for p in model.parameters()) == record.result["result"]["params"]
        assert model(torch.zeros(1, 3, 32, 32)).shape[0] == 1
        assert record.size == (folder / file).stat().st_size
        assert record.seconds > 0
        assert record.peak_memory > record.size
        assert record.versions["torch"] == torch.__version__.partition("+")[0] or record.versions["torch"]
    index = json.loads((folder / "index.json").read_text())
    assert (index["done"], index["failed"]) == (4, 2)
    assert {row["file"] for row in index["outputs"]} == {
        *kept,
        *(FILE.format("plain").replace(".se.", m) for m in (".se.", ".ela-l.")),
    }
    assert (folder / "summary.csv").read_text().count("\n") == 7
    assert "2 failed" in (folder / "README.md").read_text()
    assert "no residual block" in (folder / "index.html").read_text()


def test_other_formats_and_parts(zoo, tmp_path):
    whole = zoo("tiny", format="safetensors")["tiny"]
    assert whole.file.endswith("tiny.se.safetensors")
    part = zoo("tiny", only="attention")["tiny"]
    assert part.size < whole.size
    loaded = attn_inject.load(tmp_path / "zoo" / whole.file, trust=True)
    again = attn_inject.load(tmp_path / "zoo" / part.file, base=f"{FACTORIES}tiny", trust=True)
    assert again.state_dict().keys() == loaded.state_dict().keys()


def test_every_way_to_fail_is_its_own_result_and_the_rest_goes_on(zoo):
    records = zoo("tiny", "plain", "crash", "killed", "leave", "hang", "raising", "other", timeout=2)
    found = {name: record.failure and record.failure.code for name, record in records.items()}
    assert found == {
        "tiny": None,
        "other": None,
        "plain": "no-site",
        "crash": "crash",
        "killed": "memory",
        "leave": "model",
        "hang": "timeout",
        "raising": "model",
    }
    assert "SIGSEGV" in records["crash"].failure.message
    assert "factories.py" in records["crash"].failure.detail
    assert "SystemExit: 7" in records["leave"].failure.message
    assert "own trouble" in records["raising"].failure.message
    assert (records["crash"].attempts, records["raising"].attempts, records["hang"].attempts) == (2, 1, 1)


def test_a_crash_is_tried_again(zoo, tmp_path):
    # The model is built once to be sized, which fails here, and then twice to be converted.
    for retries, attempts in ((0, 1), (1, 1)):
        mark = tmp_path / f"mark{retries}"
        records = zoo(
            "once", model_args={"path": str(mark)}, retries=retries, out_dir=tmp_path / f"z{retries}"
        )
        assert records["once"].is_done
        assert records["once"].attempts == attempts


def test_a_second_run_does_only_what_is_missing_changed_failed_or_asked_for_anew(zoo, tmp_path):
    names = ("tiny", "other", "plain", "slow")
    first = zoo(*names)
    folder = tmp_path / "zoo"
    before = digests(folder)
    (folder / FILE.format("tiny")).unlink()
    with open(folder / FILE.format("other"), "r+b") as file:
        file.seek(2000)
        file.write(b"\xff\xff")
    second = zoo(*names)
    assert {name: record.reused for name, record in second.items()} == {
        "tiny": False,
        "other": False,
        "plain": False,
        "slow": True,
    }
    [aside] = digests(folder).keys() - before.keys()
    assert digests(folder).items() > before.items()
    assert aside.startswith(FILE.format("other").removesuffix("pt") + "changed-")
    assert (folder / aside).read_bytes()[2000:2002] == b"\xff\xff"
    assert second["tiny"].digest == first["tiny"].digest
    third = zoo("tiny", "other", "slow")
    assert all(record.reused for record in third.values())
    another = zoo("tiny", "slow", seed=1)
    assert not any(record.reused for record in another.values())
    assert another["tiny"].digest != first["tiny"].digest


@pytest.mark.parametrize("more", [{}, {"seed": 1}, {"force": True}])
def test_what_someone_trained_is_put_aside(zoo, tmp_path, more):
    """A rerun makes the file again, whatever it is asked for, and loses nothing."""
    zoo("tiny")
    path = tmp_path / "zoo" / FILE.format("tiny")
    model = attn_inject.load(path, trust=True)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    attn_inject.save(model, path, force=True)
    trained = path.read_bytes()
    assert not zoo("tiny", **more)["tiny"].reused
    [aside] = path.parent.glob("*.changed-*.pt")
    assert aside.read_bytes() == trained
    assert zoo("tiny", **more)["tiny"].reused
    assert len([*path.parent.glob("*.changed-*")]) == 1


def test_what_someone_put_in_the_place_of_a_failed_output_is_kept(zoo, tmp_path):
    assert zoo("plain")["plain"].failure.code == "no-site"
    path = tmp_path / "zoo" / FILE.format("plain")
    path.parent.mkdir()
    path.write_bytes(b"made by hand")
    zoo("plain")
    assert [kept.read_bytes() for kept in path.parent.glob("*.changed-*.pt")] == [b"made by hand"]


def test_only_what_failed(zoo):
    zoo("tiny", "plain")
    records = zoo("tiny", "plain", "other", only_failed=True)
    assert {name: record.reused for name, record in records.items()} == {"tiny": True, "plain": False}


def test_the_first_failure_may_end_all(zoo):
    records = zoo("plain", "slow", "slow_too", fail_fast=True, jobs=1, model_args={})
    assert not all(record.is_done for record in records.values())
    assert len(records) < 3


def test_a_rehearsal_leaves_digests_and_no_files(zoo, tmp_path):
    rehearsed = zoo("tiny", discard=True)
    assert rehearsed["tiny"].discarded
    assert digests(tmp_path / "zoo") == {}
    assert [path.name for path in (tmp_path / "zoo").glob(".*")] == []
    assert zoo("tiny", discard=True)["tiny"].reused
    real = zoo("tiny")
    assert not real["tiny"].reused
    assert real["tiny"].digest == rehearsed["tiny"].digest
    assert digests(tmp_path / "zoo") != {}


def test_memory_lives_in_this_process(zoo):
    records = zoo("tiny", out_dir="memory://fleet-test/zoo")
    filesystem = fsspec.filesystem("memory")
    assert filesystem.info(f"/fleet-test/zoo/{FILE.format('tiny')}")["size"] == records["tiny"].size
    assert zoo("tiny", out_dir="memory://fleet-test/zoo")["tiny"].reused
    assert filesystem.exists("/fleet-test/zoo/index.html")


def test_files_of_someone_else_are_not_replaced(zoo, tmp_path):
    path = tmp_path / "zoo" / FILE.format("tiny")
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(FileError, match="is not in its ledger"):
        zoo("tiny")
    assert path.read_text() == "precious"
    assert zoo("tiny", force=True)["tiny"].is_done
    own = tmp_path / "project" / "README.md"
    own.parent.mkdir()
    own.write_text("mine")
    with pytest.raises(FileError, match=r"README\.md"):
        zoo("tiny", out_dir=own.parent)
    assert own.read_text() == "mine"


def test_what_cannot_be_met_is_told_before_the_first_model(zoo, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    mistakes = [
        (("tiny",), {"out_dir": blocked / "zoo"}, FileError, "file"),
        (("tiny", "timm/resnet_nothing_*"), {}, UnknownNameError, "resnet_nothing_*"),
        (("resnet5O/",), {}, UnknownNameError, "resnet5O"),
        (("tiny",), {"attn": "se:reducton=4"}, UnknownNameError, "reduction"),
        (("tiny",), {"out_dir": "nowhere://bucket"}, UsageError, "nowhere"),
        (("tiny", "other"), {"name_template": "{attention}"}, UsageError, "other"),
    ]
    for names, options, kind, told in mistakes:
        with pytest.raises(AttnInjectError) as caught:
            zoo(*names, **options)
        assert type(caught.value) is kind, caught.value
        assert told in str(caught.value)
    assert digests(tmp_path) == {}


def test_a_preview_writes_nothing_and_knows_sizes(tmp_path):
    options = {
        "models": ["test_vit", "test_vit2"],
        "attn": "se",
        "out_dir": str(tmp_path / "zoo"),
    }
    dry_run = preview(make_zoo([Options(options)]), NullWatcher())
    assert [planned.state for planned in dry_run.to_do] == ["new", "new"]
    sizes = [planned.size for planned in dry_run.outputs]
    assert sizes == [4 * planned.params for planned in dry_run.outputs]
    assert sizes[0] < sizes[1]
    assert dry_run.disk_needed == sum(sizes)
    assert not (tmp_path / "zoo").exists()


def test_the_driver_imports_no_torch(tmp_path):
    import subprocess

    program = (
        "import sys, attn_inject\n"
        f"[record] = attn_inject.zoo.convert('{FACTORIES}tiny', attn='se', out_dir={str(tmp_path / 'z')!r}, "
        "input_size=32, check='off')\n"
        "assert record.is_done, record\n"
        "assert not {'torch', 'timm', 'ray'} & set(sys.modules)\n"
    )
    # From stdin there is no file to run again; as a script without a guard it must not be run twice either.
    script = tmp_path / "script.py"
    script.write_text(program + "print('once')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stdout) == (0, "once\n"), done.stderr


def test_what_workers_begin_with_ends_silently():
    """What is kept from the garbage collector is let go before the process ends, or libraries complain."""
    import subprocess

    command = [sys.executable, "-c", "import attn_inject.zoo.preload"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""


def test_a_module_that_ends_the_program_is_reported_and_the_rest_goes_on(zoo):
    records = {}
    for name in ("LeavesWhenMade", "LeavesWhenCalled"):
        records[name] = zoo("tiny", attn=f"tests.operate.test_containment:{name}")["tiny"].failure
    assert {name: failure.code for name, failure in records.items()} == dict.fromkeys(records, "model")
    assert all(name in failure.message for name, failure in records.items())
