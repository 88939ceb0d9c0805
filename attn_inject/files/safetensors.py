"""The `.safetensors` format: the tensors under their own names, everything else as JSON in the metadata.

The layout is simple and fixed: eight bytes with the length of a JSON header, the header, the tensors one
after the other. The library reads the header and checks it. The file is written here, since the library
writes only to a path, which is not an atomic write, and serialises to bytes only with a second copy of the
model in memory. The tensors are read here, since the library always maps the file: copies of mapped tensors
take twice the memory. The tests read our files with the library, and the library's files with ours.

A tensor that has several names is stored under the first; `shared` in the metadata names the others. The
header carries a checksum of what is not a tensor, as a `.pt` archive does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from torch.utils import _pytree as pytree

from attn_inject.errors import FileError
from attn_inject.files.archive import damaged
from attn_inject.files.atomic import atomic_write
from attn_inject.files.contents import Contents, foreign, from_payload, to_payload
from attn_inject.files.reading import reading
from attn_inject.files.tensors import storable

METADATA = "attn_inject"
CHECKSUM = "attn_inject.sha256"
LARGEST_HEADER = 16 * 2**20  # bytes; that of a model with ten thousand tensors has two million
# Bytes. At another alignment a kernel may add in another order and give another last bit.
ALIGNMENT = 64
LARGEST_WITNESS = 2**20  # bytes of output; a larger one is left out

_LENGTH = 8
_DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8",
    torch.bool: "BOOL", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.complex64: "C64",
}  # fmt: skip
_BY_NAME = {name: dtype for dtype, name in _DTYPES.items()}
_Entries = Mapping[str, tuple[torch.dtype, list[int], int]]


def write(
    path: str | os.PathLike[str],
    contents: Contents,
    *,
    force: bool = False,
    before_publishing: Callable[[Path], None] | None = None,
    share: bool = True,
) -> None:
    """Write a modified model; arguments and errors as those of `pt.write`.

    Args:
        path: The target.
        contents: The model.
        force: Whether an existing file may be replaced.
        before_publishing: Called with the complete hidden file.
        share: Whether a tensor with several names is written once, under the first, or once for each.
    """
    payload = to_payload(contents)
    replaced = payload.pop("replaced")
    tensors, names = _divided(payload.pop("state_dict") | replaced, share=share)
    names["replaced"] = list(replaced)
    payload["witness"] = _as_text(payload["witness"])
    text = json.dumps(payload | names, separators=(",", ":"))
    metadata = {METADATA: text, CHECKSUM: _checksum(text, _told(tensors))}
    with atomic_write(path, force=force, before_publishing=before_publishing) as file:
        _write_tensors(file, tensors, metadata)


def write_state(path: str | os.PathLike[str], state: Mapping[str, Any], *, force: bool = False) -> None:
    """Write a plain state dict, each tensor once, as `safetensors.torch.save_model` does."""
    tensors, names = _divided(storable(state))
    if names["values"]:
        raise FileError(
            f"{next(iter(names['values']))} is not a tensor, and .safetensors keeps nothing else.",
            hint="Name a .pt file.",
        )
    with atomic_write(path, force=force) as file:
        _write_tensors(file, tensors, {"format": "pt", **names["shared"]})


def _write_tensors(file: BinaryIO, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    order = sorted(tensors, key=lambda name: _rank(name, tensors[name]))
    header = _header({name: tensors[name] for name in order}, metadata)
    file.write(len(header).to_bytes(_LENGTH, "little") + header)
    for name in order:
        file.write(_bytes_of(tensors[name]))


def read(path: str | os.PathLike[str], *, mmap: bool = True) -> Contents:
    """Read a modified model; arguments and errors as those of `pt.read`."""
    with reading(path) as file:
        try:
            metadata, entries = _read_header(file.name, _start(file, str(path)))
            payload = _read_payload(metadata, entries, str(path))
            tensors = dict((_mapped if mmap else _copied)(file, entries))
            state = _joined(tensors, payload)
            payload["replaced"] = {name: state.pop(name) for name in payload["replaced"]}
            payload["state_dict"] = state
            payload["witness"] = _from_text(payload.get("witness"))
        except (FileError, OSError):
            raise
        except Exception as error:  # any error from a broken header
            raise damaged(Path(path), error) from error
    return from_payload(payload, str(path))


def _rank(name: str, tensor: torch.Tensor) -> tuple[bool, int, str]:
    """The order of tensors in the file, so that as many as possible are aligned as in memory."""
    return tensor.nbytes % ALIGNMENT != 0, -tensor.element_size(), name


def _divided(
    state: Mapping[str, Any], *, share: bool = True
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors to store, once each if they may be shared, and what restores the whole state dict."""
    tensors: dict[str, torch.Tensor] = {}
    first: dict[tuple[Any, ...], str] = {}
    shared, values = {}, {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            values[name] = value
            continue
        if value.dtype not in _DTYPES:
            raise FileError(f"{name} is of type {value.dtype}, which .safetensors does not support.")
        key = (
            (value.data_ptr(), value.shape, value.stride(), value.dtype)
            if share and value.numel()
            else (name,)
        )
        if (other := first.setdefault(key, name)) != name:
            shared[name] = other
        else:
            tensors[name] = value
    return tensors, {"names": list(state), "shared": shared, "values": values}


def _joined(tensors: Mapping[str, torch.Tensor], payload: dict[str, Any]) -> dict[str, Any]:
    names, shared, values = payload.pop("names"), payload.pop("shared"), payload.pop("values")
    state = {name: values[name] if name in values else tensors[shared.get(name, name)] for name in names}
    if len(state) != len(tensors) + len(shared) + len(values):
        raise ValueError("its names and tensors do not agree")
    return state


def _header(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        dtype = _DTYPES[tensor.dtype]
        entries[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    data = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":")).encode()
    return data + b" " * (-(_LENGTH + len(data)) % ALIGNMENT)


def _told(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    return {name: {"dtype": _DTYPES[t.dtype], "shape": list(t.shape)} for name, t in tensors.items()}


def _checksum(text: str, entries: Mapping[str, Any]) -> str:
    told = sorted((name, entry["dtype"], entry["shape"]) for name, entry in entries.items())
    return hashlib.sha256(json.dumps([text, told]).encode()).hexdigest()


def _start(file: BinaryIO, path: str) -> int:
    """The position of the first tensor, in a file that begins like a saved file."""
    length = int.from_bytes(file.read(_LENGTH), "little")
    start = _LENGTH + length
    if length > LARGEST_HEADER or file.read(1) != b"{" or os.fstat(file.fileno()).st_size < start:
        raise foreign(path)
    return start


def _read_header(path: str, begin: int) -> tuple[dict[str, str], _Entries]:
    """The metadata; type, shape and first byte of each tensor.

    Raises:
        SafetensorError: It is not a header, or the tensors are not the file to its last byte.
        KeyError: A tensor is of a type that is never written here.
    """
    entries = {}
    with safe_open(path, "pt") as file:
        for name in file.offset_keys():
            told = file.get_slice(name)
            dtype, shape = _BY_NAME[told.get_dtype()], told.get_shape()
            entries[name] = (dtype, shape, begin)
            begin += math.prod(shape) * dtype.itemsize
        return file.metadata() or {}, entries


def _read_payload(metadata: Mapping[str, str], entries: _Entries, path: str) -> dict[str, Any]:
    text = metadata.get(METADATA)
    if text is None:
        raise foreign(path)
    told = {name: {"dtype": _DTYPES[dtype], "shape": shape} for name, (dtype, shape, _) in entries.items()}
    if metadata.get(CHECKSUM) != _checksum(text, told):
        raise ValueError("its header is not the one that was saved")
    payload: dict[str, Any] = json.loads(text)
    return payload


def _copied(file: BinaryIO, entries: _Entries) -> Iterator[tuple[str, torch.Tensor]]:
    for name, (dtype, shape, begin) in entries.items():
        tensor = torch.empty(shape, dtype=dtype)
        file.seek(begin)
        if tensor.nbytes and file.readinto(_bytes_of(tensor)) != tensor.nbytes:  # type: ignore[attr-defined]
            raise ValueError("it became shorter while it was read")
        yield name, tensor


def _mapped(file: BinaryIO, entries: _Entries) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors mapped from the file; each has its own memory, as from `torch.load(mmap=True)`."""
    size = os.fstat(file.fileno()).st_size
    whole = torch.UntypedStorage.from_file(file.name, False, size)
    for name, (dtype, shape, begin) in entries.items():
        length = math.prod(shape) * dtype.itemsize
        memory = whole[begin : begin + length]
        if begin % ALIGNMENT or not length:
            memory = memory.clone()
        yield name, torch.empty(0, dtype=dtype).set_(memory).reshape(shape)


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().data if tensor.numel() else memoryview(b"")


def _as_text(reference: Any) -> Any:
    """The output as text; None if it is too large for a header."""
    tensors = [leaf for leaf in pytree.tree_leaves(reference) if isinstance(leaf, torch.Tensor)]
    if sum(tensor.nbytes for tensor in tensors) > LARGEST_WITNESS:
        return None
    return pytree.tree_map_only(torch.Tensor, _tensor_as_text, reference)


def _tensor_as_text(tensor: torch.Tensor) -> dict[str, Any]:
    data = base64.b64encode(_bytes_of(tensor)).decode()
    return {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "base64": data}


def _from_text(reference: Any) -> Any:
    if isinstance(reference, dict):
        if reference.keys() == {"dtype", "shape", "base64"}:
            flat = torch.frombuffer(bytearray(base64.b64decode(reference["base64"])), dtype=torch.uint8)
            return flat.view(_BY_NAME[reference["dtype"]]).reshape(reference["shape"])
        return {name: _from_text(item) for name, item in reference.items()}
    return [_from_text(item) for item in reference] if isinstance(reference, list) else reference
