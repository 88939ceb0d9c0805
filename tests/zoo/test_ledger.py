from __future__ import annotations

import json
import os

import pytest

from attn_inject.errors import FileError
from attn_inject.zoo.engine import Failure
from attn_inject.zoo.ledger import NAME, open_ledger, read_ledger
from attn_inject.zoo.place import LocalPlace, open_place
from attn_inject.zoo.record import Record
from attn_inject.zoo.summary import write_summaries


def record(file="a.pt", key="k", **more):
    return Record(
        key=key, file=file, model="timm/a", attention=("se",), placement="after", status="done", **more
    )


RESULT = {"sites": [], "rejected": []}
FAILED = record("b.pt", failure=Failure(code="fit", message="no", hint="try"), result=RESULT)


@pytest.fixture(params=["local", "memory"])
def place(request, tmp_path):
    if request.param == "local":
        return LocalPlace(str(tmp_path))
    return open_place(f"memory://{tmp_path.name}")


def test_what_is_noted_is_read_again(place):
    with open_ledger(place) as ledger:
        ledger.begin(["a.pt", "b.pt"], ".attn-inject-scratch-0", {"began": "now"})
        ledger.note_summaries({"README.md": "x"})
        ledger.note_summaries({"README.md": "y"})
        ledger.add(record(digest="old"))
        ledger.add(FAILED)
        ledger.add(record(digest="new"))
    again = read_ledger(place)
    assert (ledger.records, ledger.planned) == (again.records, again.planned)
    assert (ledger.scratch, ledger.summaries) == (again.scratch, again.summaries)
    assert again.records == {"a.pt": record(digest="new"), "b.pt": FAILED}
    assert again.planned == {"a.pt", "b.pt"}
    assert again.scratch == {".attn-inject-scratch-0"}
    assert again.summaries == {"README.md": {"x", "y"}}
    assert again.torn == 0


def test_a_torn_last_line_counts_as_never_written(tmp_path):
    place, path = LocalPlace(str(tmp_path)), tmp_path / NAME
    with open_ledger(place) as ledger:
        ledger.add(record("a.pt"))
        ledger.add(record("b.pt"))
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:cut])
        with open_ledger(place) as ledger:
            # Without its newline alone, the line is there.
            assert [*ledger.records] == (["a.pt", "b.pt"] if cut == len(whole) - 1 else ["a.pt"])
            ledger.add(record("c.pt"))
        assert "c.pt" in read_ledger(place).records
        assert path.read_bytes().startswith(whole[:cut])


def test_each_line_is_on_disk_at_once_and_nothing_is_rewritten(tmp_path):
    with open_ledger(LocalPlace(str(tmp_path))) as ledger:
        before = b""
        for number in range(3):
            ledger.add(record(f"{number}.pt"))
            now = (tmp_path / NAME).read_bytes()
            assert now.startswith(before)
            assert json.loads(now.splitlines()[-1])["file"] == f"{number}.pt"
            before = now


def test_a_line_is_forced_onto_the_disk_before_the_run_goes_on(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda file: synced.append(os.pread(file, 10**6, 0)))
    with open_ledger(LocalPlace(str(tmp_path))) as ledger:
        for number in range(3):
            ledger.add(record(f"{number}.pt"))
            assert synced[-1].count(b"\n") == number + 1
            assert json.loads(synced[-1].splitlines()[-1])["file"] == f"{number}.pt"


def test_two_runs_do_not_write_to_one_place(tmp_path):
    place = LocalPlace(str(tmp_path))
    with open_ledger(place), pytest.raises(FileError, match="Another zoo"), open_ledger(place):
        pass
    with open_ledger(place):
        pass


def test_a_record_of_a_newer_version_is_still_read():
    newer = {**record().to_json(), "colour": "green"}
    assert Record.from_json(newer) == record()


def lines_of_others():
    good = record(result=RESULT).to_json()
    yield from ("[]", "1", '"run"', "null", "true", "{}", "[" * 100_000, "9" * 5000, "NaN", "\x00")
    yield from (
        '{"run": 5}',
        '{"run": {}}',
        '{"run": []}',
        '{"run": {"files": 5}}',
        '{"run": {"files": [[]]}}',
    )
    yield from ('{"run": {"files": ["a"]', '{"run": {"files": [], "scratch": []}}', '{"file": "a.pt"}')
    yield from ('{"summaries": 5}', '{"summaries": {"a": 5}}', '{"summaries": {"a": []}}')
    for odd in (10**400, -1, float("nan"), "x"):
        yield json.dumps({**good, "size": odd})
        yield json.dumps({**good, "result": {**RESULT, "base": {"params": odd}}})
    for name in good:
        for value in (None, 5, "x", [], {}, True, [5], {"x": 5}):
            yield json.dumps({**good, name: value})


def test_lines_that_somebody_else_wrote_are_passed_over(zoo, tmp_path):
    done = zoo("tiny")["tiny"]
    with open(tmp_path / "zoo" / NAME, "ab") as file:
        for line in lines_of_others():
            file.write(line.replace('"a.pt"', '"other.pt"').encode() + b"\n")
        file.write(b"\xff\xfe\n")
    again = zoo("tiny")["tiny"]
    assert again.reused
    assert again.digest == done.digest


def test_summaries_show_what_a_ledger_does_not_know(tmp_path):
    """A model that cannot be counted has no costs, and somebody's line may hold anything."""
    costs = {key: {"params": None} for key in ("base", "delta", "result")}
    done = [
        record("a.pt", result=None),
        record("b.pt", result=RESULT | costs),
        record("c.pt", result=RESULT | {"base": {"params": 5}, "weights": {"colour": 1}}),
    ]
    place = LocalPlace(str(tmp_path))
    with open_ledger(place) as ledger:
        for line in done:
            ledger.add(line)
            (tmp_path / line.file).write_bytes(b"")
        write_summaries(place, ledger)
    text = (tmp_path / "README.md").read_text()
    assert text.count("| - ") >= 9
