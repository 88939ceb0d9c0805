from __future__ import annotations

import pytest

from attn_inject.errors import UsageError
from attn_inject.request import ModelRequest, Plan, as_specs
from attn_inject.zoo.naming import DEFAULT_TEMPLATE, check_template, file_name, refuse_same_file, safe
from attn_inject.zoo.resume import name_aside


@pytest.mark.parametrize(
    ("template", "source", "model", "attention", "file"),
    [
        (DEFAULT_TEMPLATE, "timm", "timm/resnet18", "ela-l", "timm/resnet18.ela-l.pt"),
        (DEFAULT_TEMPLATE, "timm", "timm/net.a1_in1k", "sa:groups=32", "timm/net.a1_in1k.sa-groups=32.pt"),
        (DEFAULT_TEMPLATE, "timm", "timm/a", ("layer4.*=sa", "se"), "timm/a.layer4.-=sa+se.pt"),
        (DEFAULT_TEMPLATE, "factory", "pkg.mod:make", "se", "factory/pkg.mod-make.se.pt"),
        (DEFAULT_TEMPLATE, "file", "some/folder/old.pt", "se", "file/old.se.pt"),
        ("{model}-{placement}.pt", "torchvision", "torchvision/vgg", "se", "vgg-after.pt"),
        ("all/{model}.{seed}", "timm", "timm/a", "se", "all/a.7.pt"),
    ],
)  # fmt: skip
def test_file_names(template, source, model, attention, file):
    plan = Plan(attention=as_specs(attention), seed=7)
    assert file_name(template, source, ModelRequest(name=model), plan, "pt") == file


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{modle}", "Did you mean {model}"),
        ("fixed", "gives every file the same name"),
        ("../{model}", "leads out"),
        ("/tmp/{model}", "leads out"),
        ("{model}/", "leads out"),
        ("{model", "cannot be read"),
    ],
)
def test_templates_that_are_refused(template, told):
    with pytest.raises(UsageError) as caught:
        check_template(template)
    assert told in str(caught.value)


def test_words_that_no_disk_takes():
    assert safe("a:b/c*d") == "a-b-c-d"
    assert safe("..") == "-."
    assert safe("///") == "-"
    long = safe("x" * 400)
    assert len(long) < 200
    assert long != safe("x" * 401)


@pytest.mark.parametrize("template", ["{model}.{attention}", "{model}/" + "\u00e9" * 150 + "{attention}"])
def test_every_part_of_a_file_name_fits_on_a_disk_with_room_for_a_digest(template):
    plans = [Plan.of(["m" * 100 + ":" + end * 100, "n:Class"]) for end in "ab"]
    request = ModelRequest(name="package" * 20 + ":" + "f" * 100)
    files = [file_name(template, "factory", request, plan, "safetensors") for plan in plans]
    assert len({*files}) == 2
    for part in name_aside(files[0], "0" * 64).split("/"):
        assert len(part.encode()) <= 255


def test_two_outputs_with_one_name_are_refused_with_both():
    refuse_same_file([("a.pt", "one"), ("b.pt", "two")])
    with pytest.raises(UsageError, match=r"one, and two"):
        refuse_same_file([("a.pt", "one"), ("A.pt", "two")])
