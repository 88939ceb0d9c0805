import dataclasses

import pytest
import torch

from attn_inject.errors import FileError
from attn_inject.files import pt
from attn_inject.files.contents import FORMAT_VERSION, Contents, from_payload, to_payload
from tests.files.conftest import edit

FIELDS = [field.metadata.get("key", field.name) for field in dataclasses.fields(Contents)]


def test_contents_come_back_from_their_payload(small, same):
    payload = to_payload(small)
    assert list(payload) == ["format", "format_version", *FIELDS]
    assert payload["format"] == "attn-inject"
    assert payload["format_version"] == FORMAT_VERSION
    assert same(from_payload(payload, "model.pt"), small)


@pytest.mark.parametrize("name", FIELDS)
def test_no_part_may_be_missing(small, name):
    payload = to_payload(small)
    del payload[name]
    with pytest.raises(FileError, match=f"model.pt lacks a field: {name}"):
        from_payload(payload, "model.pt")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("digest", 3),
        ("structure", {"a": 1}),
        ("witness", []),
        ("state_dict", None),
        ("recipe", torch.zeros(1)),
        ("extra", 1),
    ],
)
def test_a_part_of_another_kind_is_named(small, name, value):
    with pytest.raises(FileError, match=name):
        from_payload(to_payload(small) | {name: value}, "model.pt")


@pytest.mark.parametrize("version", [None, "1", True, 0, -1])
def test_a_version_that_is_none_is_refused(small, version):
    with pytest.raises(FileError, match="no format version"):
        from_payload(to_payload(small) | {"format_version": version}, "model.pt")


@pytest.mark.parametrize(
    "edit", [edit(module="attn_inject;print(1)"), edit(specialized={"x) or print(1": None}), edit(channels=0)]
)
def test_a_recipe_is_checked_whenever_a_file_is_read(tmp_path, small, edit):
    contents = dataclasses.replace(small, recipe=dataclasses.replace(small.recipe, edits=(edit,)))
    pt.write(tmp_path / "model.pt", contents)
    with pytest.raises(FileError, match=r"splices\[0\]"):
        pt.read(tmp_path / "model.pt")
