"""A store that fails every fifth call, a clock that is set back: nothing is lost, nothing is made twice."""

from __future__ import annotations

import itertools
import threading
from datetime import datetime, timedelta

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from attn_inject.errors import FileError
from attn_inject.zoo import ledger as ledger_module
from attn_inject.zoo import retrying
from attn_inject.zoo.ledger import open_ledger, read_ledger
from attn_inject.zoo.place import open_place
from attn_inject.zoo.retrying import retried
from tests.zoo.test_ledger import record
from tests.zoo.test_s3 import FILE, at_endpoint

CALLS = ("find", "cat_file", "pipe_file", "put_file", "info", "rm_file", "cp_file", "open", "makedirs")


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(retrying, "_PAUSE", 0)


@pytest.fixture
def failing(monkeypatch, at_once):
    """Let every `one in` calls to a store in memory fail, half of them after their work was done."""
    count = itertools.count(1)

    def fail(every: int) -> itertools.count:
        for name in CALLS:
            monkeypatch.setattr(MemoryFileSystem, name, unreliable(getattr(MemoryFileSystem, name), every))
        return count

    def unreliable(call, every):
        def called(*arguments, **options):
            number = next(count)
            if number % every:
                return call(*arguments, **options)
            if number % (2 * every):
                call(*arguments, **options)
            raise ConnectionError("the connection was reset")

        return called

    return fail


def test_a_zoo_in_a_store_that_fails_every_fifth_call(zoo, failing):
    calls = failing(5)
    options = {"out_dir": "memory://fails/zoo"}
    first = zoo("tiny", "other", "plain", **options)
    assert {name: item.is_done for name, item in first.items()} == {"tiny": 1, "other": 1, "plain": 0}
    again = zoo("tiny", "other", **options)
    assert all(item.reused for item in again.values())
    assert next(calls) > 50
    place = open_place("memory://fails/zoo")
    assert place.stored(FILE).digest == first["tiny"].digest
    assert not [name for name in place.sizes() if "check" in name or "scratch" in name]


def test_a_place_is_right_whatever_fails(failing):
    place = open_place("memory://fails/place")
    failing(3)
    for number in range(20):
        place.write(f"x/{number}", b"hello")
        place.rename(f"x/{number}", f"y/{number}")
    place.remove("y/0")
    place.remove("y/0")
    names = [f"y/{number}" for number in range(1, 20)]
    assert place.sizes() == dict.fromkeys(names, 5)
    assert place.read_many(names) == [b"hello"] * 19
    assert {place.stored(name).size for name in names} == {5}


def test_a_store_that_is_down_is_told_after_some_attempts(failing, monkeypatch):
    place = open_place("memory://fails/down")
    calls = failing(1)
    with pytest.raises(FileError, match=r"memory://fails/down cannot be used: the connection was reset"):
        place.write("x", b"")
    assert next(calls) == retrying.ATTEMPTS + 1


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError, ValueError])
def test_what_another_attempt_cannot_change_is_not_tried_again(at_once, error):
    calls = []

    def refuse():
        calls.append(1)
        raise error

    with pytest.raises(error):
        retried(refuse)
    assert len(calls) == 1


@pytest.fixture
def failing_bucket(monkeypatch, at_once):
    """S3 over HTTP that refuses every fifth request with an error that neither of its libraries repeats."""
    inside, count = DomainDispatcherApplication(create_backend_app), itertools.count(1)

    def application(environment, start_response):
        if environment["REQUEST_METHOD"] in made_up or next(count) % 5:
            return inside(environment, start_response)
        start_response("409 Conflict", [("Content-Type", "application/xml")])
        text = "<Error><Code>OperationAborted</Code><Message>Try again.</Message></Error>"
        return [b"" if environment["REQUEST_METHOD"] == "HEAD" else text.encode()]

    made_up = {"OPTIONS"}
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with at_endpoint(f"http://127.0.0.1:{server.server_port}", monkeypatch):
        yield count
    server.shutdown()


def test_a_zoo_in_a_bucket_that_fails_every_fifth_request(zoo, failing_bucket):
    requests = failing_bucket
    options = {"out_dir": "s3://models/failing", "jobs": 1}
    first = zoo("tiny", "other", **options)
    assert all(item.is_done for item in first.values())
    assert all(item.reused for item in zoo("tiny", "other", **options).values())
    assert next(requests) > 40
    assert open_place("s3://models/failing").stored(FILE).digest == first["tiny"].digest


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(0), timedelta(days=-1)])
def test_the_latest_line_counts_even_if_the_clock_was_set_back(monkeypatch, tmp_path, back):
    place = open_place(f"memory://clock/{tmp_path.name}")
    now = datetime(2026, 3, 29, 3, 0)
    place.write("ledger/99991231T235959-somebody-000001.json", b"{}")
    place.write("ledger/notes.txt", b"mine")
    for number in range(3):
        monkeypatch.setattr(ledger_module, "_now", lambda number=number: now - number * back)
        with open_ledger(place) as ledger:
            for line in range(3):
                ledger.add(record(digest=f"{number}.{line}"))
        assert read_ledger(place).records["a.pt"].digest == f"{number}.2"


def test_two_runs_of_the_same_moment_write_different_lines(monkeypatch, tmp_path):
    place = open_place(f"memory://moment/{tmp_path.name}")
    monkeypatch.setattr(ledger_module, "_now", lambda: datetime(2026, 3, 29))
    with open_ledger(place) as one, open_ledger(place) as other:
        one.add(record("a.pt"))
        other.add(record("b.pt"))
    assert read_ledger(place).records.keys() == {"a.pt", "b.pt"}
