import dataclasses
import json

import pytest
import torch

from attn_inject.errors import FileError, MissingExtraError, ModelError, UnknownNameError, UsageError
from attn_inject.models import Provenance, library_errors, load, rebuild
from attn_inject.request import ModelRequest

REBUILT = {
    "timm": ModelRequest(name="test_vit", num_classes=5, input_size=(1, 96, 128)),
    "timm with a tag": ModelRequest(name="timm/test_resnet.r160_in1k", model_args={"act_layer": "silu"}),
    "torchvision": ModelRequest(name="torchvision/mobilenet_v2", model_args={"width_mult": 0.25}),
    "torchvision's own input": ModelRequest(name="raft_small"),
}


def modules(model):
    return [(name, type(module), module.extra_repr()) for name, module in model.named_modules()]


@pytest.mark.parametrize("case", REBUILT)
@pytest.mark.parametrize("empty", [True, False])
def test_plain_data_is_enough_to_build_the_architecture_again(case, empty):
    loaded = load(REBUILT[case])
    data = json.loads(json.dumps(dataclasses.asdict(loaded.provenance)))
    data["input_size"] = data["input_size"] and tuple(data["input_size"])
    again = rebuild(Provenance(**data), empty=empty)
    assert modules(again.model) == modules(loaded.model)
    assert list(again.model.state_dict()) == list(loaded.model.state_dict())
    assert all(parameter.is_meta is empty for parameter in again.model.parameters())
    assert again.inputs.size == loaded.inputs.size
    assert not again.model.training
    assert not again.has_weights


def test_a_model_comes_in_eval_mode_with_notes():
    loaded = load(ModelRequest(name="resnet18"), empty=True)
    assert not any(module.training for module in loaded.model.modules())
    assert loaded.notes == ("'resnet18' is timm's; the other model of that name is 'torchvision/resnet18'.",)


def test_weights_from_a_file_are_loaded_and_the_mismatch_is_noted(tmp_path):
    torch.manual_seed(3)
    trained = load(ModelRequest(name="test_resnet")).model
    file = tmp_path / "trained.pth"
    torch.save({"state_dict": {f"module.{n}": v for n, v in trained.state_dict().items()}}, file)
    loaded = load(ModelRequest(name="test_resnet", weights=str(file), num_classes=7))
    assert loaded.has_weights
    assert torch.equal(loaded.model.layer1[0].conv1.weight, trained.layer1[0].conv1.weight)
    (note,) = loaded.notes
    assert note.startswith(
        "loaded 90 of 92 tensors from trained.pth (key state_dict, prefix module.); 2 of another "
    )
    assert "weights" not in loaded.provenance.arguments


def test_planning_compares_weights_without_reading_them_in(tmp_path):
    file = tmp_path / "trained.pth"
    state = load(ModelRequest(name="test_resnet")).model.state_dict()
    torch.save({name: value + 1 for name, value in state.items()}, file)
    loaded = load(ModelRequest(name="test_resnet", weights=str(file), num_classes=7), empty=True)
    assert loaded.has_weights
    assert all(torch.equal(buffer, state[name]) for name, buffer in loaded.model.named_buffers())
    assert "fc.weight" in loaded.notes[0]
    assert loaded.model.fc.weight.is_meta


BAD = {
    "unknown model": (ModelRequest(name="resnt18"), UnknownNameError, "no model called 'resnt18'"),
    "unknown tag": (ModelRequest(name="test_resnet.a1"), UnknownNameError, "test_resnet.r160_in1k"),
    "a file": (ModelRequest(name="model.pt"), FileError, "is a file"),
    "two sets of weights": (
        ModelRequest(name="test_resnet", pretrained=True, weights="w.pt"),
        UsageError,
        "exclude each other",
    ),
    "no such weights": (ModelRequest(name="test_resnet", weights="no.pt"), FileError, "no file 'no.pt'"),
    "negative classes": (ModelRequest(name="test_resnet", num_classes=-1), UsageError, "-1 classes"),
    "flat input": (ModelRequest(name="test_resnet", input_size=(224, 224)), UsageError, "224,224 is no"),
    "empty input": (ModelRequest(name="test_resnet", input_size=(3, 0, 224)), UsageError, "3,0,224 is no"),
    "weights as an argument": (
        ModelRequest(name="test_resnet", model_args={"checkpoint_path": "w.pt"}),
        UsageError,
        "checkpoint_path cannot be",
    ),
    "torchvision's weights as an argument": (
        ModelRequest(name="torchvision/resnet18", model_args={"weights": "DEFAULT"}),
        UsageError,
        "weights cannot be",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("empty", [False, True])
def test_bad_requests_are_refused(case, empty):
    request, error, message = BAD[case]
    with pytest.raises(error, match=message):
        load(request, empty=empty)


FOREIGN = {
    "object": (Provenance(source="object", name="my.Net"), FileError, "base="),
    "factory": (Provenance(source="factory", name="os:getcwd"), FileError, "trust=True"),
    "source": (Provenance(source="keras", name="resnet50"), FileError, "'keras'"),
    "name": (Provenance(source="timm", name="resnt18"), UnknownNameError, "resnt18"),
    "other library": (Provenance(source="timm", name="raft_small"), UnknownNameError, "raft_small"),
    "smuggled source": (Provenance(source="timm", name="os:getcwd"), UsageError, "does not name a factory"),
    "smuggled file": (
        Provenance(source="timm", name="test_resnet", arguments={"checkpoint_path": "evil.pt"}),
        FileError,
        "checkpoint_path",
    ),
    "smuggled download": (
        Provenance(source="torchvision", name="resnet18", arguments={"weights": "DEFAULT"}),
        FileError,
        "weights",
    ),
    "argument": (Provenance(source="timm", name="test_resnet", arguments={"x": 1}), ModelError, "'x'"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_saved_file_is_not_taken_on_trust(case):
    provenance, error, message = FOREIGN[case]
    with pytest.raises(error, match=message):
        rebuild(provenance)


def test_a_broken_library_names_the_doctor(monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(library_errors.importlib, "import_module", broken)
    with pytest.raises(
        MissingExtraError, match="torchvision cannot be imported: RuntimeError: operator"
    ) as caught:
        load(ModelRequest(name="torchvision/resnet18"))
    assert "attn-inject doctor" in caught.value.hint


def test_a_long_error_is_cut_to_one_line():
    line = library_errors.one_line(ValueError("first\n second " + "x" * 1000))
    assert line.startswith("ValueError: first second xxx")
    assert line.endswith("...")
    assert len(line) == 300
