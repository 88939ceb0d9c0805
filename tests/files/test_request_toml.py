from __future__ import annotations

import tomllib

import pytest

import attn_inject
from attn_inject.errors import FileError, UsageError
from attn_inject.files.request_toml import PLAN_KEYS, read_recipe, recipe_text
from attn_inject.request import Plan

FULL = """
model = "timm/resnet50"
attn = ["layer4.*=sa:groups=8", "ela-l"]
stage = 3
where = ["layer*"]
strict = true
input-size = [3, 96, 96]

[model-arg]
drop_path_rate = 0.1

[[then]]
attn = "eca"
placement = "before-add"
"""


def written(tmp_path, text):
    path = tmp_path / "plan.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_it_says_what_the_options_say(tmp_path):
    asked = read_recipe(written(tmp_path, FULL))
    assert asked.model == {
        "model": "timm/resnet50",
        "input_size": [3, 96, 96],
        "model_arg": {"drop_path_rate": 0.1},
    }
    assert asked.operations == (
        {"attn": ["layer4.*=sa:groups=8", "ela-l"], "stage": [3], "where": ["layer*"], "strict": True},
        {"attn": ["eca"], "placement": "before-add"},
    )


def test_every_field_of_a_plan_has_a_key():
    fields = {name.replace("_", "-") for name in Plan.__dataclass_fields__}
    assert fields - {"attention", "stages"} | {"attn", "stage"} == set(PLAN_KEYS)


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ('attn = "se"\n\nplacment = "after"', UsageError, r"line 3: .*'placment'.* Did you mean placement\?"),
        ('attn = "se"\n[[than]]\nattn = "x"', UsageError, r"line 2: .*'than'.* Did you mean then\?"),
        ('[[then]]\nmodel = "x"', UsageError, "line 2: there is no option 'model'"),
        ('seed = "1"', UsageError, "line 1: seed is '1', but must be a whole number"),
        ("seed = true", UsageError, "line 1: seed is True"),
        ("stage = [1, 'x']", UsageError, "line 1: stage is"),
        ("input-size = 224", UsageError, "line 1: input-size is 224, but must be a list"),
        ("seed = 1\nattn = [x]", UsageError, "is not TOML: .*line 2"),
        ("then = 3", UsageError, r"\[\[then\]\]"),
        (b"\xff\xfe", FileError, "not a text file"),
        ("a" * (2**20 + 1), FileError, "is longer than"),
        ('attn = "my.gates:Gate"', FileError, "line 1: attn names my.gates:Gate.*--trust"),
        ('attn = "se"\ntrust = true', FileError, "line 2: trust is refused"),
        ('model = "my.nets:net"\nattn = "se"', FileError, "names my.nets:net"),
        ('attn = "se"\n[[then]]\nattn = "my.gates:Gate"', FileError, "names my.gates:Gate"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, error, told):
    path = written(tmp_path, text)
    with pytest.raises(error, match=told) as caught:
        read_recipe(path)
    assert str(path) in caught.value.message


def test_code_is_named_by_trusted_recipes_and_timm_is_no_code(tmp_path):
    text = 'model = "my.nets:net"\nattn = ["my.gates:Gate", "timm:se"]'
    assert read_recipe(written(tmp_path, text), trust=True).model["model"] == "my.nets:net"
    assert read_recipe(written(tmp_path, 'attn = "timm:se:rd_ratio=0.1"')).operations


@pytest.mark.parametrize("name", ["none.toml", ""])
def test_a_path_that_is_no_file_is_named(tmp_path, name):
    with pytest.raises(FileError, match="cannot be read"):
        read_recipe(tmp_path / name)


def test_a_saved_file_tells_the_recipe_that_makes_it_again(tmp_path):
    request = attn_inject.ModelRequest(name="test_resnet", num_classes=5, input_size=(3, 64, 64))
    first = attn_inject.inject(request, ["layer4.*=sa:groups=8", "ela-l"], seed=3, check="structure")
    second = attn_inject.inject(first.model, "eca", placement="before-add", where="layer[12].*", seed=4)
    path = attn_inject.save(second, tmp_path / "model.pt")
    text = recipe_text(attn_inject.describe(path))
    data = tomllib.loads(text)
    assert data["model"] == "timm/test_resnet"
    assert data["model-arg"] == {"num_classes": 5}
    asked = read_recipe(written(tmp_path, text))
    assert asked.model["input_size"] == [3, 64, 64]
    one, two = asked.operations
    assert (one["attn"], one["start"], one["seed"]) == (["layer4.*=sa:groups=8", "ela-l"], "paper", 3)
    assert (two["attn"], two["start"], two["where"]) == (["eca"], "identity", ["layer[12].*"])


def test_an_object_has_no_name_in_its_recipe(tmp_path):
    from tests.nets import build

    result = attn_inject.inject(build("test_resnet"), "se", input_size=(3, 64, 64), check="off")
    text = recipe_text(attn_inject.describe(attn_inject.save(result, tmp_path / "model.pt")))
    assert "model" not in tomllib.loads(text)
    assert "was an object: add model = " in text
