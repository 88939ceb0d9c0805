"""Untrusted files: none may run code, fill the memory or end in a traceback."""

import collections
import io
import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from attn_inject.errors import FileError
from attn_inject.files import archive as reader
from attn_inject.files import pt
from attn_inject.files.loading import load


class Payload:
    """Makes a file called `ran` beside the checkpoint if anything unpickles it for real."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def archive(pickled, *, compression=zipfile.ZIP_STORED, extra=()):
    """A zip as torch.save makes it, around any pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", "3\n")
        for name, data in extra:
            file.writestr(name, data)
    return buffer.getvalue()


def global_call(name, argument=b"I1000000000000\n"):
    """A protocol 2 pickle that calls a global with one argument."""
    return b"\x80\x02c" + name.replace(b" ", b"\n") + b"\n(" + argument + b"tR."


def torchscript():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)), buffer)
    return buffer.getvalue()


def legacy(value):
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


CALLS = "refused: opening it would call"
FOREIGN = "was not written by attn-inject"
FORMAT = {"format": "attn-inject", "format_version": 1}


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda marker: pickle.dumps(Payload(marker)), FOREIGN, id="bare pickle"),
        pytest.param(lambda marker: legacy({"a": Payload(marker)}), FOREIGN, id="payload, old format"),
        pytest.param(lambda marker: saved(FORMAT | {"a": Payload(marker)}), f"{CALLS} .*mkdir", id="payload"),
        pytest.param(
            lambda marker: archive(pickle.dumps(Payload(marker), protocol=4)), CALLS, id="payload, protocol 4"
        ),
        pytest.param(
            lambda marker: archive(pickle.dumps(Payload(marker), protocol=0)), CALLS, id="payload, protocol 0"
        ),
        pytest.param(
            lambda marker: archive(b"(S'echo'\nios\nsystem\n."), f"{CALLS} what INST names", id="inst opcode"
        ),
        pytest.param(
            lambda marker: archive(b"\x82\x01."), f"{CALLS} what EXT1 names", id="extension registry"
        ),
        pytest.param(lambda marker: saved(torch.nn.Linear(2, 2)), f"{CALLS} torch.nn", id="whole module"),
        pytest.param(
            lambda marker: archive(global_call(b"builtins bytearray")),
            CALLS,
            id="a call that fills the memory",
        ),
        pytest.param(
            lambda marker: archive(b"\x80\x02]" + b"0" * 10_000_000, compression=zipfile.ZIP_DEFLATED),
            "claims to hold more than it has bytes",
            id="zip bomb",
        ),
        pytest.param(lambda marker: torchscript(), FOREIGN, id="torchscript"),
        pytest.param(lambda marker: saved({"conv.weight": torch.ones(2)}), FOREIGN, id="plain weights"),
        pytest.param(lambda marker: legacy({"w": torch.ones(2)}), FOREIGN, id="plain weights, old format"),
        pytest.param(lambda marker: saved([1, 2]), FOREIGN, id="a list"),
        pytest.param(lambda marker: saved({"format": "other"}), FOREIGN, id="another format"),
        pytest.param(lambda marker: b"", FOREIGN, id="empty"),
        pytest.param(lambda marker: b"hello", FOREIGN, id="text"),
        pytest.param(lambda marker: b"PK\x03\x04", "damaged or cut short", id="four bytes"),
        pytest.param(lambda marker: saved(FORMAT)[:-20], "damaged or cut short", id="cut short"),
        pytest.param(lambda marker: archive(b"\x80\x02}"), "damaged or cut short", id="pickle without end"),
        pytest.param(lambda marker: archive(b"\x80\x02\xff."), "damaged or cut short", id="no such opcode"),
        pytest.param(lambda marker: saved({"format": "attn-inject"}), "no format version", id="no version"),
        pytest.param(
            lambda marker: saved(FORMAT | {"format_version": 2}),
            "format version 2; .* reads up to 1",
            id="newer",
        ),
        pytest.param(lambda marker: saved(FORMAT), "lacks a field: recipe", id="no recipe"),
    ],
)
def test_what_is_not_ours_is_refused_and_nothing_of_it_runs(tmp_path, make, message, mmap):
    marker, path = tmp_path / "ran", tmp_path / "model.pt"
    path.write_bytes(make(marker))
    with pytest.raises(FileError, match=message):
        pt.read(path, mmap=mmap)
    with pytest.raises(FileError, match=message):
        load(path, trust=True, verify=False)
    assert not marker.exists()


# Among them every way in which a pickle gives the length of an argument.
VALUES = [
    [None, True, 1, 300, 70_000, -5, 2**40, 2**3000, 0.5, "a", "x" * 300, b"y", b"z" * 300, bytearray(b"b")],
    {"a": (1, 2), "b": {3}, "c": frozenset({4}), "d": [[]], "two\nlines": "cbuiltins\neval\n"},
    [collections.OrderedDict, os.mkdir, collections.Counter("aab"), "\u20ac", 1j],
]


class Recording(pickle.Unpickler):
    """Keeps every name that unpickling looks up."""

    def __init__(self, file):
        super().__init__(file)
        self.found = []

    def find_class(self, module, name):
        self.found.append(f"{module}.{name}")
        return super().find_class(module, name)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", VALUES, ids=["arguments", "containers", "names"])
def test_the_names_in_a_pickle_are_those_that_unpickling_looks_up(value, protocol):
    pickled = pickle.dumps(value, protocol=protocol)
    unpickler = Recording(io.BytesIO(pickled))
    unpickler.load()
    hidden = ["what STACK_GLOBAL names"] * len(unpickler.found)
    assert list(reader._names(pickled + b"more")) == (unpickler.found if protocol < 4 else hidden)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_ends_early_is_damaged(tmp_path, protocol):
    pickled = pickle.dumps(VALUES[0], protocol=protocol)
    for end in range(len(pickled)):
        with pytest.raises(FileError, match="damaged or cut short"):
            reader._check_names(pickled[:end], tmp_path)


def test_a_space_within_a_name_does_not_make_it_one_of_ours(tmp_path):
    reader._check_names(b"\x80\x02ctorch.storage\nUntypedStorage\n.", tmp_path)
    with pytest.raises(FileError, match=r"would call torch\.storage UntypedStorage"):
        reader._check_names(b"\x80\x02ctorch storage\nUntypedStorage\n.", tmp_path)


def test_torch_refuses_a_payload_too(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    path.write_bytes(saved(FORMAT | {"a": Payload(tmp_path / "ran")}))
    monkeypatch.setattr("attn_inject.files.archive._check_names", lambda pickled, path: None)
    with pytest.raises(FileError):
        pt.read(path)
    assert not (tmp_path / "ran").exists()


def test_the_payload_would_run_without_us(tmp_path):
    torch.load(io.BytesIO(saved(Payload(tmp_path / "ran"))), weights_only=False)
    assert (tmp_path / "ran").exists()


def test_weights_are_pointed_to_the_option_for_weights(tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pt")
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors")
    for path in (tmp_path / "a.pt", tmp_path / "a.safetensors"):
        with pytest.raises(FileError) as failure:
            pt.read(path)
        assert f"--weights {path}" in failure.value.hint


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("none.pt", "There is no file .*none.pt", id="missing"),
        pytest.param("", "is a folder", id="folder"),
        pytest.param("file/model.pt", "cannot be read", id="below a file"),
    ],
)
def test_a_path_that_is_no_file_is_named(tmp_path, path, message):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(FileError, match=message):
        pt.read(tmp_path / path)


@pytest.mark.parametrize("mmap", [True, False])
def test_a_tensor_cannot_claim_more_than_the_file_has_for_it(tmp_path, small, mmap):
    """The pickle says how many elements to take; no release of torch may read beyond the entry for us."""
    path = tmp_path / "model.pt"
    pt.write(path, small)
    with zipfile.ZipFile(path) as whole:
        entries = {entry.filename: whole.read(entry) for entry in whole.infolist()}
    pickled = entries["archive/data.pkl"]
    twelve = b"K\x0ct"  # 12 elements, as the last item of a tensor's persistent id
    assert pickled.count(twelve) == 1
    entries["archive/data.pkl"] = pickled.replace(twelve, b"K\xc8t")
    with zipfile.ZipFile(path, "w") as changed:
        for name, data in entries.items():
            changed.writestr(name, data)
    with pytest.raises(FileError):
        pt.read(path, mmap=mmap)


def test_a_checksum_guards_the_recipe(tmp_path, small):
    path = tmp_path / "model.pt"
    pt.write(path, small)
    data = path.read_bytes()
    position = data.index(b"BasicBlock")
    path.write_bytes(data[:position] + b"FancyBlock" + data[position + 10 :])
    with pytest.raises(FileError, match="CRC"):
        pt.read(path)
