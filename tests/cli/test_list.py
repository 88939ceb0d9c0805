from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

import attn_inject
from attn_inject.attention import registry
from attn_inject.request import PLACEMENTS


@pytest.fixture
def models(monkeypatch):
    known = [("timm", "resnet50.a1_in1k"), ("timm", "vit_tiny"), ("torchvision", "resnet50")]

    def model_names(glob: str) -> list[tuple[str, str]]:
        return [pair for pair in known if glob in ("*", pair[1])]

    fake = SimpleNamespace(model_names=model_names)
    monkeypatch.setitem(sys.modules, "attn_inject.models", fake)
    monkeypatch.setattr(attn_inject, "models", fake, raising=False)


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()]


def test_attention_is_listed_unasked(program):
    assert first_words(program("list").out) == ["name", *registry.entries()]


def test_a_glob_keeps_what_matches(program):
    assert first_words(program("list", "attention", "ela-[bt]").out) == ["name", "ela-t", "ela-b"]
    assert first_words(program("list", "placements", "after-*").out) == ["placement", "after-conv"]


@pytest.mark.parametrize("topic", ["attention", "models", "placements", "formats"])
def test_documents(program, models, topic):
    document = program("list", topic, "--json").document
    assert list(document) == [topic]
    assert all(item["name"] for item in document[topic])


def test_attention_document_is_complete(program):
    [se] = program("list", "attention", "se", "--json").document["attention"]
    assert se["options"] == {"reduction": 16, "bias": True, "squeeze": "avg", "gate": "sigmoid"}
    assert (se["arxiv"], se["year"], se["acts_on"]) == ("1709.01507", 2017, "channel")
    assert [fact["fact"] for fact in se["evidence"]["facts"]][-2:] == ["start", "placement"]


def test_one_module_is_listed_with_the_sources_of_its_facts(program):
    out = program("list", "attention", "gam").out
    assert "default of reduction    assumed" in out
    assert "149.5 M parameters" in out
    assert "default of" not in program("list", "attention", "ela-*").out


def test_placements_are_those_of_the_plan(program):
    assert first_words(program("list", "placements").out) == ["placement", *PLACEMENTS]


def test_models_name_their_source(program, models):
    assert program("list", "models", "resnet50").out == "source       model\ntorchvision  resnet50\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("placement",), "placements"),
        (("attention", "elo*"), "ela-"),
        (("models", "resnet5"), "timm/resnet50"),
        (("placements", "befor"), "before-add"),
        (("formats", ".ptt"), ".pt"),
    ],
)
def test_nothing_matches(program, models, arguments, told):
    outcome = program("list", *arguments, "--json")
    assert (outcome.code, outcome.document["error"]["code"]) == (3, "unknown-name")
    assert told in outcome.err
