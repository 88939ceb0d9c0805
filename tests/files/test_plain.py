from collections import OrderedDict
from dataclasses import dataclass, field

import pytest
import torch

from attn_inject.errors import FileError
from attn_inject.files import plain


@dataclass(frozen=True)
class Inner:
    name: str
    size: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    items: tuple[Inner, ...] = ()
    options: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"a": (1, 2.5, None, True, "x")}, {"a": [1, 2.5, None, True, "x"]}, id="tuple"),
        pytest.param(OrderedDict(b=1, a=2), {"b": 1, "a": 2}, id="mapping"),
        pytest.param(Inner("n", (1, 2)), {"name": "n", "size": [1, 2]}, id="dataclass"),
        pytest.param(
            [Outer(Inner("n"))],
            [{"inner": {"name": "n", "size": None}, "items": [], "options": {}}],
            id="nested dataclass",
        ),
    ],
)
def test_values_become_plain(value, expected):
    result = plain.to_plain(value, "it")
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param({"a": {1, 2}}, "it: a is a set", id="set"),
        pytest.param({"a": [0, torch.float32]}, r"it: a\[1\] is a dtype", id="dtype"),
        pytest.param({1: 2}, "it has a key that is not text: 1", id="number as key"),
        pytest.param(torch.zeros(1), "it is a Tensor", id="tensor"),
        pytest.param(b"x", "it is a bytes", id="bytes"),
        pytest.param(Inner, "it is a type", id="class"),
    ],
)
def test_what_cannot_be_kept_is_named_with_its_place(value, message):
    with pytest.raises(FileError, match=message):
        plain.to_plain(value, "it")


def test_tensors_are_kept_if_asked():
    tensor = torch.zeros(1)
    assert plain.to_plain({"a": [tensor]}, "it", tensors=True)["a"][0] is tensor


def test_data_without_end_is_refused():
    endless: list = []
    endless.append(endless)
    wide: list = [0]
    for _ in range(40):
        wide = [wide, wide]  # 2**40 values in a few hundred bytes
    for value in (endless, wide):
        with pytest.raises(FileError, match="too many values, or they are nested too deeply"):
            plain.to_plain(value, "it")


def test_equal_strings_become_one_object_and_lists_never_do():
    text, items = "".join(["ab", "cd"]), [1]
    result = plain.to_plain([text, "".join(["abc", "d"]), items, items], "it")
    assert result[0] is result[1]
    assert result[2] is not result[3]


def test_a_dataclass_comes_back():
    outer = Outer(Inner("n", (1, 2)), (Inner("m"),), {"a": 1})
    assert plain.from_plain(plain.to_plain(outer, "it"), Outer, "it") == outer


GOOD = {"inner": {"name": "n", "size": None}, "items": [], "options": {}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"extra": 1}, "it has an unknown field: extra", id="unknown"),
        pytest.param({"inner": None}, "it: inner is None, but must be a dictionary", id="no dictionary"),
        pytest.param({"inner": {"name": "n"}}, "it: inner lacks a field: size", id="missing"),
        pytest.param(
            {"inner": {"name": 3, "size": None}}, "it: inner: name is 3, but must be str", id="type"
        ),
        pytest.param({"inner": {"name": "n", "size": [True]}}, r"it: inner: size is \[True\]", id="bool"),
        pytest.param({"inner": {"name": "n", "size": 3}}, "it: inner: size is 3", id="no list"),
        pytest.param(
            {"items": [{"name": "n", "size": [1.5]}]}, r"it: items\[0\]: size is \[1.5\]", id="float"
        ),
        pytest.param({"items": {}}, "it: items is {}", id="dictionary for list"),
        pytest.param({"options": {"a": "b"}}, "it: options: a is 'b', but must be int", id="value"),
    ],
)
def test_a_wrong_field_is_named(change, message):
    with pytest.raises(FileError, match=message):
        plain.from_plain(GOOD | change, Outer, "it")


def test_a_missing_field_is_named():
    with pytest.raises(FileError, match="it lacks a field: options"):
        plain.from_plain({"inner": GOOD["inner"], "items": []}, Outer, "it")
