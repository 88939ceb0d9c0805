import argparse
import os
import pickle

import pytest
import safetensors.torch
import torch
from torch import nn

from attn_inject.errors import FileError
from attn_inject.sources.weights import compare, put_weights, read_weights


def net(classes=2):
    torch.manual_seed(classes)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, classes))


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
    assert [note for note in notes if "averaged weights" not in note] == (
        ["weights.pth: 1 tensor unknown to the model left out: n_averaged."] if name == "averaged" else []
    )
    assert any("averaged weights" in note for note in notes) == ("ema" in name)


@pytest.mark.parametrize("name", ["module", "_orig_mod"])
def test_a_child_named_like_a_prefix_keeps_its_name(name, tmp_path):
    model = nn.Module()
    model.add_module(name, net())
    torch.save(model.state_dict(), tmp_path / "w.pt")
    child = model.get_submodule(name)
    nn.init.zeros_(child[0].weight)
    assert put_weights(read_weights(str(tmp_path / "w.pt")), model) == ()
    assert torch.equal(child[0].weight, net()[0].weight)


@pytest.mark.parametrize("zipped", [True, False])
def test_both_torch_formats_are_read(zipped, tmp_path):
    torch.save(STATE, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    state = read_weights(str(tmp_path / "w.pt")).state
    assert all(torch.equal(state[name], value) for name, value in STATE.items())


def test_safetensors_are_read(tmp_path):
    safetensors.torch.save_file(STATE, tmp_path / "w.safetensors")
    state = read_weights(str(tmp_path / "w.safetensors")).state
    assert all(torch.equal(state[name], value) for name, value in STATE.items())


def test_what_does_not_match_is_listed(tmp_path):
    other = net(5).state_dict()
    del other["1.bias"]
    other |= {f"extra{i}": torch.ones(1) for i in range(5)} | {"epoch": 7}
    torch.save(other, tmp_path / "w.pt")
    model = net(2)
    kept = model[3].weight.clone()
    notes = put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert notes == (
        "w.pt: 2 tensors of another shape left out: 3.weight (5, 4) instead of (2, 4), "
        "3.bias (5,) instead of (2,).",
        "w.pt: 1 tensor of the model not in the file: 1.bias.",
        "w.pt: 6 tensors unknown to the model left out: extra0, extra1, extra2 and 3 more.",
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
    assert "3.weight (5, 4) instead of (2, 4)" in put_weights(read_weights(str(tmp_path / "w.pt")), model)[0]
    assert model[0].weight.is_meta


def test_weights_of_which_nothing_fits_are_refused(tmp_path):
    torch.save({"conv.weight": torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(FileError, match=r"No tensor of .* fits the model.* conv\.weight"):
        put_weights(read_weights(str(tmp_path / "w.pt")), net())


def test_tensors_that_cannot_be_copied_are_refused(tmp_path):
    torch.save({"3.weight": torch.ones(2, 4).to_sparse()}, tmp_path / "w.pt")
    with pytest.raises(FileError, match="cannot be copied"):
        put_weights(read_weights(str(tmp_path / "w.pt")), net())


def truncated(path):
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damaged_safetensors(path):
    safetensors.torch.save_file(STATE, path)
    path.write_bytes(path.read_bytes()[:100])


def zip_of_something_else(path):
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not weights")


def itself(path):
    inner = {}
    inner["model"] = inner
    torch.save(inner, path)


BAD = {
    "a.pt": (lambda path: None, "There is no file"),
    "folder.pt": (lambda path: path.mkdir(), "There is no file"),
    "empty.pt": (lambda path: path.touch(), "damaged, or something else"),
    "text.pt": (lambda path: path.write_text("hello, no weights here"), "damaged, or something else"),
    "truncated.pt": (truncated, "damaged, or something else"),
    "zip.pt": (zip_of_something_else, "damaged, or something else"),
    "truncated.safetensors": (damaged_safetensors, "damaged, or something else"),
    "text.safetensors": (lambda path: path.write_text("hello"), "damaged, or something else"),
    "list.pt": (lambda path: torch.save([torch.ones(1)], path), "holds no state dict"),
    "number.pt": (lambda path: torch.save({"epoch": 3}, path), "holds no state dict"),
    "itself.pt": (itself, "holds no state dict"),
    "shapes.pt": (lambda path: torch.save(net().to("meta").state_dict(), path), "shapes without values"),
    "model.pt": (lambda path: torch.save(net(), path), r"was refused.*Sequential"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(name, tmp_path):
    write, message = BAD[name]
    write(tmp_path / name)
    with pytest.raises(FileError, match=message) as caught:
        read_weights(str(tmp_path / name))
    assert caught.value.exit_code == 9
    assert name in caught.value.message


class Payload:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def as_pickle(content, path):
    path.write_bytes(pickle.dumps(content))


def as_old_torch(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, as_old_torch, as_pickle])
def test_a_pickle_that_would_run_code_is_refused_and_nothing_runs(save, tmp_path):
    marker, file = tmp_path / "executed", tmp_path / "weights.pt"
    save({"state_dict": STATE, "extra": Payload(marker)}, file)
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists(), "the payload works"
    marker.rmdir()
    with pytest.raises(FileError) as caught:
        read_weights(str(file))
    assert not marker.exists()
    if save is torch.save:
        assert "mkdir" in caught.value.message
        assert "Nothing was run" in caught.value.message
