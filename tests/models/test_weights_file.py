import gzip
import os
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

import attn_inject
from attn_inject.errors import FileError, ModelError
from attn_inject.models.weights_file import read_weights
from tests.models.nets import net
from tests.nets import build

STATE = net().state_dict()


@pytest.mark.parametrize("zipped", [True, False])
def test_both_torch_formats_are_read(zipped, tmp_path):
    torch.save(STATE, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    leaves = read_weights(str(tmp_path / "w.pt")).leaves
    assert all(torch.equal(leaves[name].value, value) for name, value in STATE.items())


def test_safetensors_are_read(tmp_path):
    safetensors.torch.save_file(STATE, tmp_path / "w.safetensors")
    leaves = read_weights(str(tmp_path / "w.safetensors")).leaves
    assert all(torch.equal(leaves[name].value, value) for name, value in STATE.items())


def truncated(path):
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def truncated_old_format(path):
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damaged_safetensors(path):
    safetensors.torch.save_file(STATE, path)
    path.write_bytes(path.read_bytes()[:100])


def zip_of_something_else(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not weights")


def zipped_weights(path):
    torch.save(STATE, path)
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.write(path, "best.pth")
    path.with_suffix(".zip").rename(path)


def exported(path):
    torch.export.save(torch.export.export(net().eval(), (torch.ones(2, 3, 3, 3),)), path)


def itself(path):
    inner = {}
    inner["model"] = inner
    torch.save(inner, path)


BAD = {
    "a.pt": (lambda path: None, "There is no file"),
    "folder.pt": (lambda path: path.mkdir(), "There is no file"),
    "empty.pt": (lambda path: path.touch(), "is empty"),
    "empty.safetensors": (lambda path: path.touch(), "is empty"),
    "text.pt": (lambda path: path.write_text("hello, no weights here"), "is not a file of weights"),
    "truncated.pt": (truncated, "is cut short or damaged"),
    "truncated_old.pt": (truncated_old_format, "is cut short or damaged"),
    "zip.pt": (zip_of_something_else, r"is a zip archive without weights; it holds readme\.txt\."),
    "zipped.pt": (zipped_weights, r"is a zip archive that holds best\.pth\."),
    "arrays.npz": (lambda path: np.savez(path, a=np.ones(2)), "is an archive of numpy's arrays"),
    "array.pt": (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00"), "is a single array of numpy"),
    "scripted.pt": (lambda path: torch.jit.script(net()).save(path), "is a TorchScript program"),
    "exported.pt2": (exported, "is an exported program, as torch.export.save writes"),
    "keras.h5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64)), "is an HDF5 file"),
    "page.pth": (lambda path: path.write_text("<!doctype html><html>Sign in</html>"), "is a web page"),
    "pointer.pth": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "is a pointer of Git LFS",
    ),
    "packed.pth": (lambda path: path.write_bytes(gzip.compress(b"weights")), "is compressed by gzip"),
    "truncated.safetensors": (damaged_safetensors, "is cut short or damaged"),
    "text.safetensors": (lambda path: path.write_text("hello"), "is cut short or damaged"),
    "truncated_torch.safetensors": (truncated, "is cut short or damaged"),
    "list.pt": (lambda path: torch.save([torch.ones(1)], path), "holds no state dict"),
    "number.pt": (lambda path: torch.save({"epoch": 3}, path), "holds no state dict, only 'epoch'"),
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
    assert caught.value.hint
    # One sentence, without messages of the archive and pickle readers.
    assert not any(word in str(caught.value) for word in ("Error", "rrno", "pickle", "PytorchStream"))


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
    if save is not as_pickle:
        assert "mkdir" in caught.value.message
        assert "Nothing was run" in caught.value.message


def test_a_model_that_was_saved_here_is_told_from_weights(tmp_path):
    file = tmp_path / "modified.pt"
    attn_inject.inject(build("test_resnet"), "simam", check="off", input_size=(3, 64, 64), out=file)
    with pytest.raises(ModelError, match=r"saved by attn-inject") as caught:
        read_weights(str(file))
    assert f"attn-inject {file}" in caught.value.hint


def test_a_file_without_permission_is_told(tmp_path, monkeypatch):
    torch.save(STATE, tmp_path / "w.pt")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(FileError, match=r"cannot be read: Permission denied\."):
        read_weights(str(tmp_path / "w.pt"))
