"""The check of a `.pt` file before torch opens it: it is complete, its sizes are true, and it is plain data.

`torch.load(weights_only=True)` runs no code. This check is made nevertheless: it refuses what would fill the
memory (compressed or overlapping entries, calls that allocate) and every name in the pickle that saved files
never contain, so that a fault in torch's reader does no harm.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from attn_inject.errors import FileError
from attn_inject.files.contents import foreign

LARGEST_PICKLE = 64 * 2**20  # bytes; that of a model with ten thousand tensors has two million

MAGIC = b"PK\x03\x04"
_NAMES = re.compile(
    r"collections\.OrderedDict"
    r"|torch\._utils\._rebuild_tensor_v[23]"
    r"|torch\.(\w+Storage|(float|bfloat|int|uint|complex|bool)\w*)"
    r"|torch\.storage\.(Untyped|_Typed|Typed)Storage"
)
# Opcodes that name something to call, other than GLOBAL, which torch.save writes.
_HIDDEN_NAMES = {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}


def check_archive(path: Path) -> Counter[int]:
    """Check whether torch may open a file.

    Returns:
        How many entries of which size, in bytes, hold tensors.

    Raises:
        FileError: It is not such an archive, is damaged, or its pickle names something unexpected.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise foreign(str(path))
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                index = _pickle_of(entries, path)
                _check_entries(entries, path)
                pickled = archive.read(index)
        except FileError:
            raise
        except Exception as error:  # zipfile raises anything for a broken directory
            raise damaged(path, error) from error
    _check_names(pickled, path)
    return Counter(entry.file_size for entry in entries if "/data/" in entry.filename)


def damaged(path: Path, error: Exception) -> FileError:
    """For a saved file that is damaged."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return FileError(
        f"{path} is damaged or cut short: {reason:.200}.",
        hint="Copy or write it again; it cannot be repaired.",
    )


def _check_entries(entries: list[zipfile.ZipInfo], path: Path) -> None:
    """Entries are uncompressed, and together no larger than the file, so that nothing can expand."""
    stored = all(
        entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
        for entry in entries
    )
    if not stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise FileError(
            f"{path} is refused: it claims to hold more than it has bytes.",
            hint="It is not a file of attn-inject.",
        )


def _pickle_of(entries: list[zipfile.ZipInfo], path: Path) -> zipfile.ZipInfo:
    """The entry that holds everything but the tensors."""
    names = [entry.filename.partition("/")[2] for entry in entries]
    if names.count("data.pkl") != 1 or "constants.pkl" in names:  # the latter is TorchScript's
        raise foreign(str(path))
    entry = entries[names.index("data.pkl")]
    if entry.file_size > LARGEST_PICKLE:
        raise FileError(
            f"{path} is refused: its index is larger than that of any model.",
            hint="It is not a file of attn-inject.",
        )
    return entry


def _check_names(pickled: bytes, path: Path) -> None:
    try:
        names = [name for name in _names(pickled) if not _NAMES.fullmatch(name)]
    except ValueError as error:
        raise damaged(path, error) from error
    if names:
        raise FileError(
            f"{path} is refused: opening it would call {names[0]:.100}. Nothing was run.",
            hint="Only plain data is read. If it is your own model, pass its state_dict() with --weights.",
        )


def _names(pickled: bytes) -> Iterator[str]:
    """The names in a pickle, up to its end.

    Raises:
        ValueError: It has an unknown opcode, a broken argument, or no end.
    """
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL":
            yield str(argument).replace(" ", ".", 1)  # only the first separates module and name
        elif opcode.name in _HIDDEN_NAMES:
            yield f"what {opcode.name} names"
