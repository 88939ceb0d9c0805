"""What an exported file says about its origin: the recipe of its model, and the digest of its tensors.

It stands in the metadata of an `.onnx` file, and in an extra file of a `.pt2` archive, as text that other
programs ignore. Reading it runs nothing of the file.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attn_inject import models
from attn_inject.errors import FileError
from attn_inject.files import plain
from attn_inject.files.exports import onnx
from attn_inject.files.reading import unreadable
from attn_inject.files.recipe import Recipe, check_words, to_plain
from attn_inject.files.structure_digest import state_digest
from attn_inject.surgery.inserted import recorded_edits
from attn_inject.surgery.origin import Origin

KEY = "attn_inject"  # of the whole record
_LARGEST = 16 * 2**20  # bytes
_HINT = "`attn-inject export` writes one into the files that it makes of modified models."


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is kept.

    Attributes:
        recipe: How the model was made.
        digest: Of its state dict, as `structure_digest.state_digest`.
        tensors: How many its state dict has.
        elements: Numbers in them.
        inserted_tensors: Those of attention.
        site_elements: Numbers in the tensors of each inserted module, in the order of the edits.
    """

    recipe: Recipe
    digest: str
    tensors: int
    elements: int
    inserted_tensors: int
    site_elements: tuple[int, ...]


def record_of(model: nn.Module, origin: Origin) -> dict[str, str]:
    """The record of a modified model as keys and texts; the first ones are for people.

    Raises:
        FileError: Something in its recipe cannot be kept.
    """
    state = {key: value for key, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    edits = recorded_edits(model)
    own = [[key for key in state if key.startswith(f"{edit.path}.")] for edit in edits]
    base = origin.provenance
    record = Record(
        recipe=Recipe(base, edits, origin.plans, models.versions()),
        digest=state_digest(model.state_dict()),
        tensors=len(state),
        elements=sum(value.numel() for value in state.values()),
        inserted_tensors=sum(map(len, own)),
        site_elements=tuple(sum(state[key].numel() for key in keys) for keys in own),
    )
    whole = plain.to_plain(record, "the record") | {"recipe": to_plain(record.recipe)}
    return {
        f"{KEY}.base": f"{base.source}/{base.name}",
        f"{KEY}.weights": str(base.weights) if base.weights is not None else "unknown",
        f"{KEY}.version": models.versions()["attn-inject"],
        f"{KEY}.digest": record.digest,
        KEY: json.dumps(whole, separators=(",", ":")),
    }


def read_record(path: str | os.PathLike[str]) -> Record:
    """The record of an exported file, which is untrusted.

    Raises:
        FileError: It cannot be read, or has no record.
        MissingExtraError: An `.onnx` file without the extra `onnx`.
    """
    try:
        told = (_of_archive if str(path).endswith(".pt2") else onnx.metadata)(Path(path))
        data = json.loads(told[KEY])
    except OSError as error:
        raise unreadable(path, error) from error
    except (KeyError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise FileError(f"{path} has no record of attn-inject.", hint=_HINT) from error
    record: Record = plain.from_plain(plain.to_plain(data, str(path)), Record, str(path))
    check_words(record.recipe)
    if len(record.site_elements) != len(record.recipe.edits):
        raise FileError(f"{path} has a record that contradicts itself.", hint=_HINT)
    return record


def _of_archive(path: Path) -> Mapping[str, Any]:
    with zipfile.ZipFile(path) as archive:
        found = [entry for entry in archive.infolist() if entry.filename.endswith(f"/extra/{KEY}.json")]
        if not found or found[0].file_size > _LARGEST:
            raise KeyError(KEY)
        told = json.loads(archive.read(found[0]))
    return told if isinstance(told, dict) else {}
