"""What a fuzzer needs: inputs made from good ones, and a judge of what a reader does with them."""

from __future__ import annotations

import copy
import faulthandler
import json
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from attn_inject.errors import AttnInjectError
from attn_inject.zoo.work import _forget_peak, peak_memory

LONGEST = 2.0  # seconds of the processor for one input
LARGEST = 500 * 10**6  # bytes of memory for one input, above what the process has before
_HANGS = 60  # seconds after which the program ends with a traceback
_ODD = (
    *(
        "",
        " ",
        "\n",
        "\0",
        "\x1b[2J",
        "é",
        "\U0001d518",
        "\ud800",
        "=",
        ":",
        ",",
        ".",
        "..",
        "/",
        "\\",
        "*",
        "**",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "#",
        "-1",
        "0",
        "9" * 30,
        "9" * 5000,
        "1e999",
        "nan",
        "inf",
        "true",
        "null",
    ),
    *("os:system", "a" * 3000),
)
_DEEP = "nested very deep"  # stands for what cannot be written recursively
_TIMES = (2, 40, 1000, 30_000)


@dataclass(frozen=True)
class Reader:
    """Something that reads what comes from elsewhere.

    Attributes:
        name: For people.
        count: How many inputs it gets.
        inputs: Draws them.
        read: Reads one and raises if the result is wrong.
    """

    name: str
    count: int
    inputs: st.SearchStrategy[Any]
    read: Callable[[Any], object]


@dataclass
class Tally:
    """What one reader did.

    Attributes:
        endings: How often it read or refused, by the error's class.
        faults: What was wrong, with the beginning of the input.
        longest: Seconds of the processor for one input.
        largest: Bytes of memory for one input.
    """

    endings: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    longest: float = 0.0
    largest: int = 0


def attack(reader: Reader, count: int, start: int = 0) -> Tally:
    """Give a reader so many inputs."""
    tally = Tally()

    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(content=reader.inputs)
    def one(content: Any) -> None:
        judge(reader, content, tally)

    # hypothesis ends early where it has drawn every input that it can think of.
    while (done := sum(tally.endings.values())) < count:
        one()
        if sum(tally.endings.values()) == done:
            break
    return tally


def judge(reader: Reader, content: Any, tally: Tally) -> None:
    """Read one input and note what happened."""
    faulthandler.dump_traceback_later(_HANGS, exit=True)
    _forget_peak()
    before, began = peak_memory(), time.process_time()
    wrong = ""
    try:
        reader.read(content)
        ending = "read"
    except AttnInjectError as error:
        ending = f"refused ({type(error).__name__})"
        if error.exit_code == AttnInjectError.exit_code or not error.message:
            wrong = f"no clean error: {error!r:.200}"
    except BaseException as error:
        ending = f"FAULT {type(error).__name__}"
        wrong = "".join(traceback.format_exception(error, limit=-3))[-1500:]
    seconds, memory = time.process_time() - began, peak_memory() - before
    faulthandler.cancel_dump_traceback_later()
    if seconds > LONGEST or memory > LARGEST:
        wrong += f" it took {seconds:.1f} s and {memory / 1e6:.0f} MB"
    tally.endings[ending] += 1
    tally.longest, tally.largest = max(tally.longest, seconds), max(tally.largest, memory)
    if wrong:
        tally.faults.append(f"{content!r:.300}: {wrong}")


def disturbed(good: Sequence[str], tokens: Sequence[str] = ()) -> st.SearchStrategy[str]:
    """Texts: good ones with pieces inserted, removed, repeated very often; tokens in any order; noise."""
    pieces = st.sampled_from([*tokens, *tokens, *_ODD])
    places = st.floats(0, 1, exclude_max=True)
    change = st.one_of(
        st.tuples(st.just("insert"), places, pieces),
        st.tuples(st.just("insert"), places, st.text(max_size=8)),
        st.tuples(st.just("instead"), places, pieces),
        st.tuples(st.just("cut"), places, st.just("")),
        st.tuples(st.just("repeat"), places, pieces, st.sampled_from(_TIMES)),
    )
    changed = st.tuples(st.sampled_from(good), st.lists(change, min_size=1, max_size=4)).map(_change)
    soup = st.lists(pieces, max_size=12).map("".join)
    many = st.tuples(pieces, st.sampled_from(_TIMES), pieces).map(lambda t: (t[0] * t[1])[:300_000] + t[2])
    return st.one_of(changed, changed, changed, soup, many, st.text(max_size=60))


def _change(drawn: tuple[str, Sequence[tuple[Any, ...]]]) -> str:
    text, changes = drawn
    for kind, where, piece, *times in changes:
        at = int(where * (len(text) + 1))
        if kind == "insert":
            text = text[:at] + piece + text[at:]
        elif kind == "instead":
            end = next((i for i in range(at, len(text)) if not text[i].isalnum()), len(text))
            text = text[:at] + piece + text[end:]
        elif kind == "cut":
            text = text[:at] + text[at + 1 + at % 17 :]
        else:
            text = text[:at] + (piece * times[0])[:300_000] + text[at:]
    return text


odd_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from([0, -1, 1, 3, 2**31, 2**63, 10**40, 10**400, 0.5, float("nan"), float("inf")]),
        st.sampled_from([text for text in _ODD if text != "\ud800"]),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=6,
)


def altered(document: Any) -> st.SearchStrategy[Any]:
    """A document of JSON with a few of its values replaced, removed, renamed or nested very deep."""
    kinds = st.sampled_from(["set", "set", "set", "drop", "rename", "deep"])
    change = st.tuples(st.lists(st.integers(0, 30), min_size=1, max_size=7), kinds, odd_values)
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: _alter(document, changes))


def _alter(document: Any, changes: Sequence[tuple[list[int], str, Any]]) -> Any:
    document = copy.deepcopy(document)
    for path, kind, value in changes:
        at = document
        for step in path:
            inner = _inside(at, step)
            if inner is None or not _keys(at[inner]) or step == path[-1]:
                break
            at = at[inner]
        key = _inside(at, path[-1])
        if key is None:
            continue
        if kind == "set":
            at[key] = value
        elif kind == "drop":
            del at[key]
        elif kind == "rename" and isinstance(at, dict):
            at[str(value)[:100]] = at.pop(key)
        elif kind == "deep":
            at[key] = _DEEP
    return document


def as_json(document: Any) -> str:
    """The document as text."""
    return json.dumps(document, default=str).replace(f'"{_DEEP}"', "[" * 3000 + "]" * 3000)


def _keys(value: Any) -> bool:
    return isinstance(value, dict | list) and len(value) > 0


def _inside(value: Any, step: int) -> Any:
    """The key of one of the parts of a value, or None if it has none."""
    if isinstance(value, dict) and value:
        return list(value)[step % len(value)]
    return step % len(value) if isinstance(value, list) and value else None
