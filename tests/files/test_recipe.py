import copy
import dataclasses
import json

import pytest
import torch

from attn_inject.errors import FileError
from attn_inject.files import plain
from attn_inject.files.recipe import Recipe, from_plain, to_plain
from attn_inject.models.loaded import Provenance
from attn_inject.request import Plan, as_specs, to_dict
from tests.files.conftest import edit


@pytest.fixture
def recipe():
    plan = Plan(attention=as_specs(["layer4.*=se:reduction=8", "eca"]), where=("layer*",), stages=(3, 4))
    return Recipe(
        Provenance(
            source="timm", name="resnet18.a1_in1k", arguments={"num_classes": 3}, input_size=(3, 64, 64)
        ),
        (
            edit(
                element="x",
                tap="add_1",
                users=("relu_2", "out"),
                specialized={"mask": None, "n": 2},
                prefix=1,
            ),
            edit("layer2.0", height=None, width=None, layout="NLC", start="paper", note="8 groups used"),
            edit("layer3.0", module="attn_inject_1", element=0),
        ),
        (to_dict(plan),),
        {"torch": "2.15.0", "timm": "1.0.31"},
    )


def test_it_comes_back_from_plain_data_and_from_json(recipe):
    data = to_plain(recipe)
    back = from_plain(data)
    assert dataclasses.replace(back, plans=()) == dataclasses.replace(recipe, plans=())
    assert json.loads(json.dumps(data)) == data
    assert from_plain(json.loads(json.dumps(data))) == back
    assert back.plans[0]["attention"][0] == {"name": "se", "options": {"reduction": 8}, "where": "layer4.*"}
    assert to_plain(back) == data


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"norm": torch.nn.ReLU}, "recipe: splices.0.: options: norm is a type", id="class"),
        pytest.param({"size": {1}}, "recipe: splices.0.: options: size is a set", id="set"),
    ],
)
def test_an_option_that_cannot_be_kept_is_named(options, message):
    with pytest.raises(FileError, match=message):
        to_plain(Recipe(Provenance(source="timm", name="x"), (edit(options=options),)))


@pytest.mark.parametrize(("suffix", "kept"), [(0, {}), (2, {"suffix": 2})])
def test_tokens_behind_the_grid_are_kept_only_if_there_are_any(suffix, kept):
    one = Recipe(Provenance(source="timm", name="x"), (edit(suffix=suffix),))
    data = to_plain(one)
    assert {key: value for key, value in data["splices"][0].items() if key == "suffix"} == kept
    assert from_plain(data).edits == one.edits


def change(data, path, value):
    data = copy.deepcopy(data)
    *parents, last = path
    owner = data
    for key in parents:
        owner = owner[key]
    if value is ...:
        del owner[last]
    else:
        owner[last] = value
    return data


FIRST = ("splices", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("provenance",), ..., "recipe lacks a field: provenance"),
        (("provenance", "source"), "web", "provenance: source is 'web', but must be one of timm"),
        (("provenance", "name"), None, "provenance: name is None"),
        (("provenance", "arguments"), [], r"provenance: arguments is \[\]"),
        (("provenance", "input_size"), "3", "provenance: input_size is '3'"),
        (("splices",), {}, "recipe: splices is {}"),
        (("versions", "torch"), 2, "recipe: versions: torch is 2"),
        (("plans",), None, "recipe: plans is None"),
        (("surprise",), 1, "recipe has an unknown field: surprise"),
        ((*FIRST, "placement"), "inside", r"splices\[0\]: placement is 'inside', but must be one of after"),
        ((*FIRST, "start"), "auto", r"splices\[0\]: start is 'auto'"),
        ((*FIRST, "layout"), "NCL", r"splices\[0\]: layout is 'NCL'"),
        ((*FIRST, "channels"), 0, r"splices\[0\]: channels is 0, but must be positive"),
        ((*FIRST, "channels"), "64", r"splices\[0\]: channels is '64', but must be int"),
        ((*FIRST, "calls"), -1, r"splices\[0\]: calls is -1"),
        ((*FIRST, "element"), 1.5, r"splices\[0\]: element is 1.5"),
        ((*FIRST, "users"), [1], r"splices\[0\]: users\[0\] is 1"),
        ((*FIRST, "tap"), ..., r"splices\[0\] lacks a field: tap"),
        ((*FIRST, "hook"), "x", r"splices\[0\] has an unknown field: hook"),
    ],
)
def test_every_wrong_field_is_named(recipe, path, value, message):
    with pytest.raises(FileError, match=message):
        from_plain(change(to_plain(recipe), path, value))


@pytest.mark.parametrize("name", list(plain.to_plain(edit(), "")))
def test_no_field_of_an_edit_may_be_missing(recipe, name):
    with pytest.raises(FileError, match=f"lacks a field: {name}"):
        from_plain(change(to_plain(recipe), (*FIRST, name), ...))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("module", "conv1"),
        ("module", "attn_inject(x); import os; os.system('true') #"),
        ("module", "attn_inject\n"),
        ("fixed", {"x) or print(1": None}),
        ("fixed", {"lambda": None}),
    ],
)
def test_names_that_surgery_writes_into_code_must_be_names(recipe, field, value):
    with pytest.raises(FileError, match=field):
        from_plain(change(to_plain(recipe), (*FIRST, field), value))


@pytest.mark.parametrize("data", [None, [], "recipe", 3, {}])
def test_anything_else_is_refused(data):
    with pytest.raises(FileError):
        from_plain(data)
