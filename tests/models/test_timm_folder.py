"""The configuration of a folder of timm comes from anywhere: nothing in it is believed."""

from __future__ import annotations

import json

import pytest

from attn_inject.errors import AttnInjectError, FileError
from attn_inject.files.hub_folder import is_hub_folder
from attn_inject.models import build, timm_folder
from attn_inject.request import ModelRequest

GOOD = {"architecture": "test_resnet", "num_classes": 7, "pretrained_cfg": {"input_size": [3, 64, 64]}}


@pytest.fixture
def folder(tmp_path):
    def written(document):
        text = document if isinstance(document, str) else json.dumps(document)
        (tmp_path / "config.json").write_text(text)
        return f"local-dir:{tmp_path}"

    return written


def test_what_the_configuration_says_becomes_the_request(folder):
    request = timm_folder.read_folder(folder(GOOD)).asked(ModelRequest(name=""))
    assert (request.name, request.num_classes, request.input_size) == ("timm/test_resnet", 7, (3, 64, 64))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"architecture": 5}, "architecture is 5, not a name of timm"),
        ({"architecture": None}, "architecture is None"),
        ({"num_classes": "many"}, "num_classes is 'many', not a whole number"),
        ({"num_classes": -1}, "num_classes is -1"),
        ({"num_classes": True}, "num_classes is True"),
        ({"num_classes": 10**40}, "num_classes is 1000"),
        ({"model_args": [1]}, "cannot be read"),
        ({"pretrained_cfg": [1]}, "cannot be read"),
        ({"pretrained_cfg": {"input_size": 224}}, "input_size is 224"),
        ({"pretrained_cfg": {"input_size": [3, "x", 4]}}, "input_size is"),
        ({"pretrained_cfg": {"input_size": [3, 4.5, 4]}}, "input_size is"),
        ({"pretrained_cfg": {"global_pool": {"a": 1}}}, "global_pool is"),
    ],
)
def test_a_value_of_another_type_is_told_with_its_key(folder, change, told):
    with pytest.raises(FileError, match="cannot be read") as caught:
        build.load(ModelRequest(name=folder(GOOD | change)), empty=True)
    assert told in caught.value.message


@pytest.mark.parametrize("document", ["", "[]", "5", "null", "{}", "[" * 100_000, "9" * 5000, '{"a": 1}'])
def test_no_configuration_of_timm_is_told(folder, document):
    with pytest.raises(FileError, match="cannot be read"):
        timm_folder.read_folder(folder(document))


def test_a_configuration_that_is_too_long_is_not_read(folder, tmp_path, monkeypatch):
    name = folder(json.dumps(GOOD | {"architecture": timm_folder.MODIFIED}))
    assert is_hub_folder(tmp_path)
    monkeypatch.setattr(timm_folder, "LONGEST_CONFIG", 20)
    monkeypatch.setattr("attn_inject.files.hub_folder.LONGEST_CONFIG", 20)
    assert not is_hub_folder(tmp_path)
    with pytest.raises(FileError, match="has more than 20 bytes"):
        timm_folder.read_folder(name)


@pytest.mark.parametrize("architecture", ["os:system", "tests.zoo.factories:tiny", "local-dir:.", "../x", ""])
def test_an_architecture_is_a_name_of_timm_and_no_code(folder, architecture):
    with pytest.raises(FileError, match="not a name of timm"):
        build.load(ModelRequest(name=folder(GOOD | {"architecture": architecture})), empty=True)


@pytest.mark.parametrize("key", ["checkpoint_path", "pretrained", "pretrained_cfg", "cache_dir"])
def test_arguments_that_load_something_are_refused(folder, key):
    with pytest.raises(AttnInjectError) as caught:
        build.load(ModelRequest(name=folder(GOOD | {"model_args": {key: "x"}})), empty=True)
    assert key in caught.value.message
