"""The whole program on a library of a few tiny models; no other library is needed."""

from __future__ import annotations

import pytest

from tests.corpus import rows
from tests.corpus.__main__ import main
from tests.corpus.libraries import Library
from tests.corpus.verdict import judge

TINY = {
    "tiny": Library("torch", ("tests.corpus.tiny_library",)),
    "absent": Library("attn-inject-no-such", ()),
}
VERDICTS = {
    "exact": "exact",
    "talkative": "exact",
    "partly": "explained",
    "nothing": "explained",
    "refused": "explained",
    "misplaced": "wrong",
    "dying": "crash",
    "broken": "not run",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The rows of one run, by model, with the file and the page."""
    folder = tmp_path_factory.mktemp("corpus")
    code = main(["--json", str(folder / "rows"), "--table", str(folder / "page.md")], TINY)
    found = {name: row for (_, name), row in rows.read(folder / "rows").items()}
    return code, found, folder


def test_each_model_ends_as_it_should(run):
    code, found, _ = run
    assert {name: judge(row)[0] for name, row in found.items()} == VERDICTS, found
    assert code == 1


def test_the_facts_are_told(run):
    _, found, _ = run
    exact, dying, broken = found["exact"], found["dying"], found["broken"]
    assert (exact["sites"], exact["found"], exact["classes"]) == (2, [2], {"Block": 2})
    assert exact["labels"] == ["blocks.0:Block", "blocks.1:Block"]
    assert {key: exact[key] for key in ("identity_eval", "identity_train", "reload", "remove")} == {
        "identity_eval": "",
        "identity_train": "",
        "reload": "",
        "remove": "",
    }
    assert exact["finite"]
    assert exact["step"] == "done"
    assert found["partly"]["rejections"] == {"no-shortcut": 1}
    assert judge(found["refused"])[1] == found["refused"]["refusals"][0] != []
    assert found["misplaced"]["elsewhere"] == ["blocks.0:Block", "blocks.1:Block"]
    assert (dying["step"], dying["killed"]) == ("build", "exit code 3: a last word")
    assert broken["not_run"].startswith("ValueError: two lines (tiny_library.py:")


def test_the_page_has_a_row_for_each(run):
    _, _, folder = run
    written = (folder / "page.md").read_text()
    assert f"{len(VERDICTS)} models of 1 libraries" in written
    assert all(f"| {name} |" in written for name in VERDICTS)


def test_a_run_that_is_resumed_does_only_what_is_missing(run, tmp_path, capsys):
    _, found, folder = run
    file = tmp_path / "rows"
    for row in found.values():
        if row["name"] != "nothing":
            rows.append(file, row)
    code = main(["--json", str(file), "--resume", "--library", "tiny", "--only", "[ent]*"], TINY)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].split()[-1] for line in printed[:-1]] == ["tiny/nothing"]
    assert printed[-1] == "3 models: 2 exact, 1 explained, 0 wrong, 0 crash"
    assert code == 0
    assert set(rows.read(file)) == set(rows.read(folder / "rows"))


def test_a_library_that_is_not_installed_is_said(tmp_path, capsys):
    assert main(["--json", str(tmp_path / "rows"), "--library", "absent"], TINY) == 0
    assert "absent: attn-inject-no-such is not installed" in capsys.readouterr().err
