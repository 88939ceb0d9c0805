import argparse

import pytest
import torch
from torch import nn

from attn_inject.errors import FileError, ModelError
from attn_inject.models.matching import compare, put_weights
from attn_inject.models.weights_file import read_weights
from tests.models.nets import net
from tests.nets import build, modify


def prefixed(prefix):
    return {f"{prefix}{name}": value for name, value in net().state_dict().items()}


STATE = net().state_dict()
WRAPPED = {
    "bare": STATE,
    "state_dict": {"state_dict": STATE, "epoch": 3},
    "model": {"model": STATE, "loss": torch.ones(())},
    "state_dict_ema": {"state_dict": net(5).state_dict(), "state_dict_ema": STATE},
    "model_ema": {"model_ema": STATE, "model": net(5).state_dict()},
    "nested": {"model": {"state_dict": STATE}},
    "DataParallel": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "compiled and parallel": prefixed("module._orig_mod."),
    "parallel and compiled": {"state_dict": prefixed("_orig_mod.module.")},
    "compiled inside": {n.replace("3.", "3._orig_mod."): v for n, v in STATE.items()},
    "Lightning": {"state_dict": prefixed("model.")},
    "averaged": {"n_averaged": torch.ones(()), **prefixed("module.")},
    "timm's options": {"state_dict": STATE, "args": argparse.Namespace(lr=0.1, opt="sgd")},
    "half": {name: value.half() for name, value in STATE.items()},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_and_prefixes_are_undone(name, tmp_path):
    file = tmp_path / "weights.pth"
    torch.save(WRAPPED[name], file)
    model = net(2)
    nn.init.zeros_(model[0].weight)
    notes = put_weights(read_weights(str(file)), model)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, STATE[key], rtol=1e-2, atol=1e-3)
    foreign = "; 1 unknown to the model: n_averaged" if name == "averaged" else ""
    assert notes[0] == f"loaded 9 of 9 tensors from weights.pth{foreign}."
    assert any("averaged weights" in note for note in notes[1:]) == ("ema" in name)


@pytest.mark.parametrize("name", ["module", "_orig_mod"])
def test_a_child_named_like_a_prefix_keeps_its_name(name, tmp_path):
    model = nn.Module()
    model.add_module(name, net())
    torch.save(model.state_dict(), tmp_path / "w.pt")
    child = model.get_submodule(name)
    nn.init.zeros_(child[0].weight)
    assert put_weights(read_weights(str(tmp_path / "w.pt")), model) == ("loaded 9 of 9 tensors from w.pt.",)
    assert torch.equal(child[0].weight, net()[0].weight)


def test_what_does_not_match_is_listed(tmp_path):
    other = net(5).state_dict()
    del other["1.bias"]
    other |= {f"extra{i}": torch.ones(1) for i in range(5)} | {"epoch": 7}
    torch.save(other, tmp_path / "w.pt")
    model = net(2)
    kept = model[3].weight.clone()
    notes = put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert notes == (
        "loaded 6 of 9 tensors from w.pt; 2 of another shape: 3.weight (5, 4) instead of (2, 4), "
        "3.bias (5,) instead of (2,); 1 not in it: 1.bias; "
        "6 unknown to the model: extra0, extra1, extra2 and 3 more.",
    )
    assert torch.equal(model[3].weight, kept)
    assert torch.equal(model[0].weight, net(5)[0].weight)


def test_counters_of_old_files_are_not_missed():
    state = {name: value for name, value in STATE.items() if "num_batches" not in name}
    assert compare(net(), state).missing == []


def test_a_number_is_no_tensor():
    match = compare(net(), {**STATE, "0.bias": 4})
    assert match.reshaped == ["0.bias int instead of (4,)"]


def test_a_model_without_memory_is_only_compared(tmp_path):
    torch.save(net(5).state_dict(), tmp_path / "w.pt")
    model = net(2).to("meta")
    (note,) = put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert note.startswith(
        "would load 7 of 9 tensors from w.pt; 2 of another shape: 3.weight (5, 4) instead of"
    )
    assert model[0].weight.is_meta


def fits_by_chance(state):
    """What another architecture of the same widths leaves: norms, biases and a counter."""
    return {name: value for name, value in state.items() if value.ndim < 2}


def first_layer_alone(state):
    return {name: value for name, value in state.items() if name.startswith("conv1.")}


OTHERS = {
    "other names": lambda state: {"conv.weight": torch.ones(2, 2)},
    "fits by chance": fits_by_chance,
    "first layer alone": first_layer_alone,
    "the classifier alone": lambda state: {n: v for n, v in state.items() if n.startswith("fc.")},
    "other widths": lambda state: build("test_resnet", channels=(48, 64, 80, 96)).state_dict(),
    "a small part of another": lambda state: {"blocks.0.weight": torch.ones(10**6, 2)} | state,
}


@pytest.mark.parametrize("name", OTHERS)
def test_weights_of_another_model_are_refused(name, tmp_path):
    model = build("test_resnet")
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    torch.save(OTHERS[name](model.state_dict()), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"another model: \d+ of \d+ tensors fit, which are \d+%") as caught:
        put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert caught.value.exit_code == 5
    assert "architecture" in caught.value.hint
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("kept", ["another classifier", "no classifier", "another stem"])
def test_a_classifier_or_a_stem_that_does_not_fit_is_no_reason(kept, tmp_path):
    """Although the classifier holds most of this model's weights."""
    model = build("test_resnet", num_classes=20000)
    assert 2 * model.fc.weight.numel() > sum(p.numel() for p in model.parameters())
    state = build("test_resnet", num_classes=0 if kept == "no classifier" else 7).state_dict()
    if kept == "another stem":
        state["conv1.0.weight"] = state["conv1.0.weight"].sum(1, keepdim=True)
    torch.save(state, tmp_path / "w.pt")
    (note,) = put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert note.startswith("loaded ")
    assert torch.equal(model.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])


def test_attention_that_the_model_has_not_is_told(tmp_path):
    model = build("test_resnet")
    modify(model, "se")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"attention modules.*layer1\.0\.attn_inject\.") as caught:
        put_weights(read_weights(str(tmp_path / "w.pt")), build("test_resnet"))
    assert "open the file as the model" in caught.value.hint
    (note,) = put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert note.startswith("loaded ")


def test_tensors_that_cannot_be_copied_are_refused(tmp_path):
    torch.save({**STATE, "3.weight": torch.ones(2, 4).to_sparse()}, tmp_path / "w.pt")
    with pytest.raises(FileError, match="cannot be copied"):
        put_weights(read_weights(str(tmp_path / "w.pt")), net())
