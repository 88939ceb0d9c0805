"""The readers of files with tensors, for `fuzz`: saved files, checkpoints, and the records of exports."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

import attn_inject
from attn_inject.files.exports.record import record_of
from attn_inject.models.matching import put_weights
from attn_inject.models.weights_file import read_weights
from attn_inject.surgery.origin import origin_of
from tests.nets import build, make_generic
from tests.reliability.fuzzing import Reader, altered, as_json
from tests.reliability.mutations import SIZE, interesting, mutate, mutations

BASE = "test_resnet"
_LENGTH = 8  # bytes before the header of a .safetensors


def files(folder: Path) -> Iterator[Reader]:
    """Readers of files with tensors."""
    model = make_generic(attn_inject.inject(BASE, "ela-l", input_size=SIZE, check="off").model).eval()
    image = torch.randn(1, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(image)

    def load(path: Path) -> None:
        loaded = attn_inject.load(path)
        with torch.no_grad():
            assert torch.equal(loaded(image), expected), "another model was loaded"

    for suffix in (".pt", ".safetensors"):
        path = attn_inject.save(model, folder / f"saved{suffix}")
        yield Reader(f"saved {suffix}", 1000, damaged(path.read_bytes()), _bytes(path, load))
    path = attn_inject.save(model, folder / "saved.pt", force=True)
    payload = torch.load(path, weights_only=True)
    plain = {key: value for key, value in payload.items() if key not in ("state_dict", "replaced", "witness")}
    yield Reader("altered .pt", 700, altered(plain), _payload(path, payload, attn_inject.describe))
    path = attn_inject.save(model, folder / "saved.safetensors", force=True)
    header = _header_of(path.read_bytes())
    yield Reader("altered .safetensors", 700, altered(header), _with_header(path, load))
    yield from _checkpoints(folder)
    recorded = record_of(model, origin_of(model))
    document = json.loads(recorded["attn_inject"])
    yield Reader("records of exports", 1000, altered(document).map(as_json), _archive(folder / "a.pt2"))


def _checkpoints(folder: Path) -> Iterator[Reader]:
    model, state = build(BASE), build(BASE).state_dict()

    def read(path: Path) -> None:
        put_weights(read_weights(str(path)), model)
        assert model.state_dict().keys() == state.keys()

    for suffix, write in ((".pt", _new), (".pth", _old)):
        path = folder / f"weights{suffix}"
        write(state, path)
        yield Reader(f"weights {suffix}", 500, damaged(path.read_bytes()), _bytes(path, read))
    from safetensors.torch import save_file

    path = folder / "weights.safetensors"
    save_file(state, path)
    yield Reader("weights .safetensors", 500, damaged(path.read_bytes()), _bytes(path, read))
    wrapped = {"state_dict": {"@": 1}, "epoch": 3, "args": {"lr": 0.1}, "model": {"@": 1}}
    odd = folder / "odd.pt"

    def around(document: Any) -> None:
        torch.save(_filled(document, state), odd)
        read(odd)

    yield Reader("weights with more around", 500, altered(wrapped), around)


def damaged(whole: bytes) -> st.SearchStrategy[tuple[bytes, list[Any]]]:
    """A file and a few changes of its bytes."""
    change = st.tuples(mutations, interesting(whole))
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: (whole, changes))


def _bytes(path: Path, read: Callable[[Path], object]) -> Callable[[Any], object]:
    def written(drawn: tuple[bytes, list[Any]]) -> object:
        data, changes = drawn
        for (kind, _, value), place in changes:
            data = mutate(data, kind, place, value) if data else data
        path.write_bytes(data)
        return read(path)

    return written


def _payload(path: Path, payload: dict[str, Any], read: Callable[[Path], object]) -> Callable[[Any], object]:
    def written(document: Any) -> object:
        torch.save({**payload, **document}, path)
        return read(path)

    return written


def _header_of(data: bytes) -> dict[str, Any]:
    """The header of a saved file, the document in it read."""
    length = int.from_bytes(data[:_LENGTH], "little")
    header = json.loads(data[_LENGTH : _LENGTH + length])
    header["__metadata__"]["attn_inject"] = json.loads(header["__metadata__"]["attn_inject"])
    return header  # type: ignore[no-any-return]


def _with_header(path: Path, read: Callable[[Path], object]) -> Callable[[Any], object]:
    data = path.read_bytes()
    tensors = data[_LENGTH + int.from_bytes(data[:_LENGTH], "little") :]

    def written(header: Any) -> object:
        from attn_inject.files.safetensors import CHECKSUM, METADATA, _checksum

        if isinstance(inner := header.get("__metadata__"), dict) and METADATA in inner:
            inner[METADATA] = as_json(inner[METADATA])
            told = {
                name: {"dtype": entry.get("dtype"), "shape": entry.get("shape")}
                for name, entry in header.items()
                if isinstance(entry, dict) and name != "__metadata__"
            }
            inner[CHECKSUM] = _checksum(inner[METADATA], told)  # who alters a file can do that, too
        text = as_json(header).encode()
        path.write_bytes(len(text).to_bytes(_LENGTH, "little") + text + tensors)
        return read(path)

    return written


def _archive(path: Path) -> Callable[[Any], object]:
    def written(text: str) -> object:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/extra/attn_inject.json", json.dumps({"attn_inject": text}))
        return attn_inject.describe(path)

    return written


def _new(state: Any, path: Path) -> None:
    torch.save(state, path)


def _old(state: Any, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def _filled(document: Any, state: Any) -> Any:
    """The document with the tensors where it says so."""
    if document == {"@": 1}:
        return state
    if isinstance(document, dict):
        return {key: _filled(value, state) for key, value in document.items()}
    return [_filled(value, state) for value in document] if isinstance(document, list) else document
