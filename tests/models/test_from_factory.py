import sys
import textwrap

import pytest
import torch

from attn_inject.errors import FileError, ModelError, UsageError
from attn_inject.models.build import load, rebuild
from attn_inject.models.loaded import Provenance
from attn_inject.request import ModelRequest

MODULE = """
    from torch import nn

    calls = 0
    kept = nn.Linear(2, 2)

    def small(num_classes=3, width=4):
        global calls
        calls += 1
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                             nn.Linear(width, num_classes))

    def anything(**arguments):
        return small(**arguments)

    class Makers:
        @staticmethod
        def small():
            return small()

    def keeper():
        return kept

    def fixed():
        return small()

    def failing():
        raise ValueError("no disk,\\n   no model")

    def leaving():
        raise SystemExit(3)

    def confused():
        return fixed(nonsense=1)

    def nothing():
        return "a model"

    number = 3
    model = small()
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module in the current directory, which is not on the path."""
    name = f"my_models_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / f"{name}_broken.py").write_text("raise OSError('half installed')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield name
    sys.modules.pop(name, None)


REQUESTS = {
    "plain": ("small", {}, {}, (3, 224, 224)),
    "classes": ("small", {"num_classes": 7}, {"num_classes": 7}, (3, 224, 224)),
    "any keyword": ("anything", {"num_classes": 7}, {"num_classes": 7}, (3, 224, 224)),
    "argument": ("small", {"model_args": {"width": 5}}, {"width": 5}, (3, 224, 224)),
    "size": ("small", {"input_size": (3, 8, 9)}, {}, (3, 8, 9)),
    "method": ("Makers.small", {}, {}, (3, 224, 224)),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_factory_is_called_from_the_current_directory(case, module):
    attribute, request, arguments, size = REQUESTS[case]
    loaded = load(ModelRequest(name=f"{module}:{attribute}", **request))
    assert loaded.provenance == Provenance(
        source="factory", name=f"{module}:{attribute}", arguments=arguments, input_size=size
    )
    assert not loaded.model.training
    with torch.no_grad():
        output = loaded.model(*loaded.inputs.make()[0])
    assert output.shape == (1, request.get("num_classes", 3))
    again = rebuild(loaded.provenance, trust=True)
    assert again.inputs == loaded.inputs
    assert {n: p.shape for n, p in again.model.named_parameters()} == {
        n: p.shape for n, p in loaded.model.named_parameters()
    }


REFUSED = {
    "no_such_module_at_all:make": "ModuleNotFoundError: No module named 'no_such_module_at_all'",
    "{}_broken:make": "cannot be imported: OSError: half installed",
    "{}:absent": "AttributeError.*absent",
    "{}:failing": "cannot be built: ValueError: no disk, no model",
    "{}:leaving": "cannot be built: SystemExit: 3",
    "{}:confused": "cannot be built: TypeError: .*nonsense",
    "{}:nothing": "returned a str, not a torch.nn.Module",
    "{}:number": "is a int, not a function",
    "{}:model": "is a Sequential, not a function",
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("empty", [False, True])
def test_what_a_factory_does_wrong_is_told_in_one_line(name, empty, module):
    with pytest.raises(ModelError, match=REFUSED[name]) as caught:
        load(ModelRequest(name=name.format(module)), empty=empty)
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)


def test_an_argument_the_factory_does_not_take_is_named(module):
    with pytest.raises(ModelError, match="takes no argument 'depth'"):
        load(ModelRequest(name=f"{module}:small", model_args={"depth": 1}))


@pytest.mark.parametrize(
    ("request_", "message"),
    [({"num_classes": 4}, "takes no num_classes"), ({"pretrained": True}, "No weights are published")],
)
def test_what_a_factory_cannot_do_is_a_usage_error(request_, message, module):
    with pytest.raises(UsageError, match=message):
        load(ModelRequest(name=f"{module}:fixed", **request_))


def test_a_saved_file_may_not_name_a_factory_unless_trusted(module):
    provenance = Provenance(source="factory", name=f"{module}:small")
    with pytest.raises(FileError, match=r"model.pt names .*run that code") as caught:
        rebuild(provenance, where="model.pt")
    assert "trust=True" in caught.value.hint
    assert module not in sys.modules, "not even imported"


def test_a_factory_is_called_once_and_what_it_keeps_is_left_alone(module):
    loaded = load(ModelRequest(name=f"{module}:small"), empty=True)
    calls = sys.modules[module].calls
    assert calls == 2, "one for the module's own model, one for ours"
    assert all(parameter.is_meta for parameter in loaded.model.parameters())
    kept = load(ModelRequest(name=f"{module}:keeper"), empty=True).model
    assert kept.weight.is_meta
    assert not sys.modules[module].kept.weight.is_meta
