"""The shell's completion of MODEL, SPEC and placements."""

import pytest

from attn_inject.cli import completion
from attn_inject.cli.main import main


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_models_are_listed_once(monkeypatch):
    listed = []

    def names():
        listed.append(1)
        return ["resnet50", "timm/resnet50", "vit_tiny"]

    monkeypatch.setattr(completion, "_listed", names)
    assert completion.models("res") == ["resnet50"]
    assert completion.models("v") == ["vit_tiny"]
    assert completion.models("ti") == ["timm/", "timm/resnet50"]
    assert listed == [1]


def test_a_cache_that_cannot_be_written_is_no_hindrance(monkeypatch):
    monkeypatch.setattr(completion, "_listed", lambda: ["resnet50"])
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert completion.models("r") == ["resnet50"]


def test_specs_are_offered_behind_a_glob():
    assert ("layer4.*=ela-l", dict(completion.specs("ela-l"))["ela-l"]) in completion.specs("layer4.*=ela")
    assert not completion.specs("nothing-of-this-name")


@pytest.mark.parametrize("words", ["attn-inject inject resnet1", "attn-inject sites resnet1"])
def test_the_shell_gets_names(words, monkeypatch, capsys):
    monkeypatch.setattr(completion, "_listed", lambda: ["resnet18", "vit_tiny"])
    monkeypatch.setenv("_ATTN_INJECT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out.split() == ["resnet18"]
