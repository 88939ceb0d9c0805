"""A user's files in the output folder are never removed or replaced, and nothing outside it is touched."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from attn_inject.errors import AttnInjectError, FileError, UsageError
from attn_inject.zoo import convert
from attn_inject.zoo.ledger import NAME, open_ledger
from attn_inject.zoo.place import LocalPlace
from attn_inject.zoo.publishing import recover, scratch_file
from attn_inject.zoo.stored import SCRATCH
from tests.zoo.conftest import FACTORIES
from tests.zoo.test_ledger import record

FILE = "factory/tests.zoo.factories-tiny.se.pt"


def contents(folder):
    return {path: os.readlink(path) if path.is_symlink() else path.read_bytes()
            for path in folder.rglob("*") if path.is_symlink() or path.is_file()}  # fmt: skip


def refused_and_untouched(folder, zoo, kind=FileError, **options):
    before = contents(folder)
    with pytest.raises(AttnInjectError) as caught:
        zoo("tiny", **options)
    assert type(caught.value) is kind, caught.value
    assert {path: content for path, content in contents(folder).items() if path in before} == before
    return caught.value


@pytest.mark.parametrize(
    "template",
    [
        "{model:/<40}", "{model:{seed}}", "{model!r}", "{model.__class__}", "{model[0]}", "{}", "{0}",
        "{source:.0}../{model}", "a\n{model}", "..\\{model}", "{model}\x1b[2J", "x/../../{model}",
    ],
)  # fmt: skip
def test_templates_have_plain_fields_and_stay_inside(zoo, tmp_path, template):
    (tmp_path / "precious.pt").write_text("precious")
    refused_and_untouched(tmp_path, zoo, UsageError, name_template=template)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious.pt"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("what", ["folder", "file", "file that is not there", "file inside"])
def test_no_link_leads_out_of_the_folder_or_around_in_it(zoo, tmp_path, what, force):
    folder, elsewhere = tmp_path / "zoo", tmp_path / "elsewhere"
    for made in (folder, elsewhere):
        made.mkdir()
    name = FILE.partition("/")[2]
    (elsewhere / name).write_text("precious")
    if what == "folder":
        (folder / "factory").symlink_to(elsewhere)
    else:
        (folder / "factory").mkdir()
        (folder / "mine.pt").write_text("precious, too")
        targets = {"file": elsewhere / name, "file inside": folder / "mine.pt"}
        (folder / FILE).symlink_to(targets.get(what, elsewhere / "gone.pt"))
    before = contents(tmp_path)
    try:
        assert zoo("tiny", force=force)["tiny"].failure.code == "file"
    except FileError:
        assert not force
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    assert sorted(path.name for path in elsewhere.iterdir()) == [name]


def test_hidden_files_are_files(zoo, tmp_path):
    path = tmp_path / "zoo" / ".tests.zoo.factories-tiny.pt"
    path.parent.mkdir()
    path.write_text("precious")
    refused_and_untouched(tmp_path, zoo, name_template=".{model}")


def test_a_name_that_was_planned_and_never_done_may_be_taken_by_the_user(zoo, tmp_path):
    (tmp_path / "zoo").mkdir()
    with open_ledger(LocalPlace(str(tmp_path / "zoo"))) as ledger:
        ledger.begin([FILE], f"{SCRATCH}{'0' * 16}", {})
    (tmp_path / "zoo" / "factory").mkdir()
    (tmp_path / "zoo" / FILE).write_text("precious")
    error = refused_and_untouched(tmp_path, zoo)
    assert FILE in error.message
    assert zoo("tiny", force=True)["tiny"].is_done


def test_what_came_into_the_folder_during_the_run_is_kept(tmp_path):
    path = tmp_path / "zoo" / FILE

    class Meddler:
        def say(self, text): ...
        def progress(self, running): ...
        def begin(self, dry_run):
            path.parent.mkdir()
            path.write_text("precious")

    options = {"attn": "se", "input_size": 32, "check": "off", "out_dir": tmp_path / "zoo"}
    [made] = convert([f"{FACTORIES}tiny"], watcher=Meddler(), **options)
    assert (made.status, made.failure.code) == ("failed", "file")
    assert path.read_text() == "precious"


def test_a_changed_readme_is_put_aside(zoo, tmp_path):
    zoo("tiny")
    readme = tmp_path / "zoo" / "README.md"
    ours = readme.read_text()
    readme.write_text(ours + "my notes\n")
    zoo("tiny")
    [aside] = readme.parent.glob("README.changed-*.md")
    assert aside.read_text().endswith("my notes\n")
    assert readme.read_text() == ours
    zoo("tiny", "other")
    assert len([*readme.parent.glob("*.changed-*")]) == 1


def test_what_a_rerun_puts_aside_replaces_nothing(tmp_path):
    place = LocalPlace(str(tmp_path))
    for name, text in (("a", "one"), ("b", "two"), ("c", "one")):
        (tmp_path / name).write_text(text)
    with pytest.raises(FileError, match="b is another file"):
        place.rename("a", "b")
    place.rename("a", "c")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"b": "two", "c": "one"}


def test_scratch_is_removed_only_where_the_ledger_names_it(zoo, tmp_path):
    named, foreign = f"{SCRATCH}{'1' * 16}", f"{SCRATCH}mine"
    folder = tmp_path / "zoo"
    for made in (folder / named, folder / foreign, tmp_path / "outside"):
        made.mkdir(parents=True)
        (made / "x.pt").write_text("x")
    with open_ledger(LocalPlace(str(folder))) as ledger:
        for scratch in (named, foreign, "../outside", "", ".", "factory"):
            ledger.begin([], scratch, {})
    zoo("tiny")
    assert not (folder / named).exists()
    assert (folder / foreign / "x.pt").exists()
    assert (tmp_path / "outside" / "x.pt").exists()
    assert [path.name for path in folder.glob(f"{SCRATCH}*")] == [foreign]


def test_what_was_noted_and_not_yet_named_when_a_run_was_killed_is_not_made_again(zoo, tmp_path):
    folder = tmp_path / "zoo"
    first = zoo("tiny")["tiny"]
    [scratch] = [json.loads(line)["run"]["scratch"] for line in (folder / NAME).read_text().splitlines()[:1]]
    (folder / scratch).mkdir()
    (folder / FILE).rename(folder / scratch / scratch_file(FILE))
    again = zoo("tiny")["tiny"]
    assert again.reused
    assert again.digest == first.digest
    assert (folder / FILE).exists()
    assert not (folder / scratch).exists()


def test_what_is_left_of_a_killed_run_replaces_nothing(tmp_path):
    place = LocalPlace(str(tmp_path))
    scratch = f"{SCRATCH}{'2' * 16}"
    (tmp_path / scratch).mkdir()
    (tmp_path / scratch / scratch_file("a.pt")).write_text("half")
    (tmp_path / scratch / scratch_file("b.pt")).write_text("whole")
    (tmp_path / "b.pt").write_text("precious")
    with open_ledger(place) as ledger:
        ledger.begin(["a.pt", "b.pt"], scratch, {})
        for name in ("a.pt", "b.pt"):
            ledger.add(record(name, digest=place.stored(f"{scratch}/{scratch_file('b.pt')}").digest))
        recover(place, ledger)
    assert {path.name for path in tmp_path.iterdir()} == {"b.pt", NAME}
    assert (tmp_path / "b.pt").read_text() == "precious"


def test_a_refused_second_zoo_changes_nothing(zoo, tmp_path):
    folder = tmp_path / "zoo"
    folder.mkdir()
    with open_ledger(LocalPlace(str(folder))) as ledger:
        scratch = f"{SCRATCH}{'3' * 16}"
        ledger.begin([], scratch, {})
        (folder / scratch).mkdir()
        (folder / scratch / "half.pt").write_text("half")
        before, times = contents(folder), folder.stat().st_mtime_ns
        error = refused_and_untouched(tmp_path, zoo)
        assert "Another zoo" in error.message
        assert (contents(folder), folder.stat().st_mtime_ns) == (before, times)
    shutil.rmtree(folder)


def test_a_folder_that_is_renamed_during_the_run_is_told(tmp_path):
    folder = tmp_path / "zoo"

    class Mover:
        def say(self, text): ...
        def progress(self, running): ...
        def begin(self, dry_run):
            folder.rename(tmp_path / "moved")

    options = {"attn": "se", "input_size": 32, "check": "off", "out_dir": folder, "jobs": 1}
    with pytest.raises(FileError, match="zoo cannot be used"):
        list(convert([f"{FACTORIES}tiny"], watcher=Mover(), **options))
    assert not folder.exists()
