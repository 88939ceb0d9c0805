"""Says what a file is that holds no weights as torch or safetensors write them."""

from __future__ import annotations

import zipfile
from pathlib import Path

# How files begin that are often passed as weights, what they are, and what to do.
_BEGINNINGS = {
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "Fetch it: git lfs pull."),
    b"<!DOCTYPE": ("a web page, not a file of weights", "Download the file itself, not the page about it."),
    b"<html": ("a web page, not a file of weights", "Download the file itself, not the page about it."),
    b"\x89HDF\r\n": ("an HDF5 file, as Keras writes", "Convert it to a state dict of torch first."),
    b"\x93NUMPY": ("a single array of numpy", "Save a state dict: torch.save({NAME: TENSOR, ...}, FILE)."),
    b"\x1f\x8b": ("compressed by gzip", "Unpack it first."),
    b"7z\xbc\xaf": ("compressed by 7-Zip", "Unpack it first."),
    b"Rar!": ("compressed by RAR", "Unpack it first."),
}
_AS_STATE = (
    "In Python, torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt') makes a file of its weights; "
    "then --weights weights.pt."
)
_SHOWN = 3


def described(path: Path) -> tuple[str, str]:
    """What a file is, as the end of a sentence, and what to do; two empty texts if that is unknown."""
    if zipfile.is_zipfile(path):
        return _archive(path)
    with path.open("rb") as file:
        beginning = file.read(512).lstrip()
    for start, told in _BEGINNINGS.items():
        if beginning[: len(start)].lower() == start.lower():
            return told
    if beginning[257:262] == b"ustar":
        return "an archive of tar", "Unpack it first."
    return "", ""


def _archive(path: Path) -> tuple[str, str]:
    """What a zip archive holds: a TorchScript or exported program, arrays, weights, or anything else."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError):
        return "", ""
    names = {entry.partition("/")[2] or entry for entry in entries}
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "a TorchScript program, as torch.jit.save writes", _AS_STATE
    if names & {"archive_format", "serialized_exported_program.json"}:
        return "an exported program, as torch.export.save writes", (
            "Pass the state dict that it was made from, or save it in Python: "
            "torch.save(torch.export.load(FILE).state_dict, 'weights.pt')."
        )
    if "data.pkl" in names:
        return "", ""
    if entries and all(entry.endswith(".npy") for entry in entries):
        return "an archive of numpy's arrays (.npz)", "Save a state dict with torch.save instead."
    inner = [entry for entry in entries if entry.endswith((".pt", ".pth", ".bin", ".ckpt", ".safetensors"))]
    if inner:
        return f"a zip archive that holds {inner[0]}", f"Unpack it, then pass {Path(inner[0]).name}."
    some = ", ".join(sorted(entries)[:_SHOWN]) or "nothing"
    return f"a zip archive without weights; it holds {some}", "Pass a .pt, .pth or .safetensors file."
