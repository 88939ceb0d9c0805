from __future__ import annotations

from pathlib import Path

from tests.display.samples import saved_content


def test_the_page(program, api):
    outcome = program("show", "m.pt")
    assert api.calls == [("describe", (Path("m.pt"),), {})]
    assert outcome.out.startswith("models/[bold]m.pt: resnet18 (timm) with 3 attention modules, 47.30 MB\n")


def test_the_document_is_what_describe_returns(program, api):
    assert program("show", "m.pt", "--json").document == saved_content()


def test_the_recipe(program, api):
    outcome = program("show", "m.pt", "--recipe")
    assert 'model = "timm/resnet18"' in outcome.out
    assert program("show", "m.pt", "--recipe", "--json").code == 2
