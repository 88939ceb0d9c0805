"""A folder as the Hugging Face Hub keeps models: `config.json`, `model.safetensors` and a card.

`load` reads the tensors' file alone. timm reads the folder as `local-dir:FOLDER` or `hf-hub:ORG/NAME`, once
`attn_inject.timm` is imported: the architecture in its configuration repeats the recorded edits.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attn_inject.errors import FileError
from attn_inject.files import safetensors
from attn_inject.files.atomic import (
    already_there,
    atomic_write,
    check_parent,
    hidden_prefix,
    lock,
    unwritable,
)
from attn_inject.files.contents import Contents
from attn_inject.files.recipe import to_plain
from attn_inject.models.timm_folder import CONFIG, LONGEST_CONFIG, MODIFIED

RECIPE = "attn_inject_recipe"  # the argument of the architecture
MODEL, CARD = "model.safetensors", "README.md"
FILES = (MODEL, CONFIG, CARD)

# Of timm's configuration, what says where the base's weights were, and how they had to be converted.
_OF_THE_BASE = (
    *("url", "file", "state_dict", "source", "hf_hub_id", "hf_hub_filename"),
    *("architecture", "tag", "custom_load", "label_offset"),
)

_OLD = "-old.tmp"

_Path = str | os.PathLike[str]


def check_folder(folder: _Path, *, force: bool = False) -> Path:
    """Find out before the work whether `write_folder` would refuse a target; nothing is made.

    Returns:
        The folder that will be written, after following symbolic links.

    Raises:
        FileError: It is a file, cannot be made, holds something else, or a model without `force`.
    """
    target = Path(os.path.realpath(folder))
    try:
        if target.exists() and not target.is_dir():
            raise FileError(f"{folder} is a file.", hint="Name a folder, which will be made.")
        check_parent(target.parent, folder)
        inside = sorted(os.listdir(target)) if target.exists() else []
    except OSError as error:
        raise unwritable(target, error) from error
    if others := [name for name in inside if name not in FILES]:
        raise FileError(f"{folder} holds other files, such as {others[0]}.", hint="Name a new folder.")
    if inside and not force:
        raise already_there(target)
    return target


def write_folder(
    folder: _Path,
    contents: Contents,
    *,
    config: Mapping[str, Any],
    card: str,
    force: bool = False,
    check: Callable[[Path], None],
) -> None:
    """Write the three files; the folder appears when it is complete, or stays as it was.

    Args:
        folder: The target.
        contents: The model.
        config: timm's configuration of its base; empty if it has none.
        card: The text of the card.
        force: Whether a folder that was written before may be replaced.
        check: Called with the complete hidden folder; if it raises, nothing is left.

    Raises:
        FileError: As `check_folder`, or it cannot be written.
    """
    target = check_folder(folder, force=force)
    with _hidden(target) as hidden:
        # timm's strict loading wants every key, so tensors with several names are written once for each.
        safetensors.write(hidden / MODEL, contents, share=False)
        for name, text in ((CONFIG, _configuration(contents, config)), (CARD, card)):
            with atomic_write(hidden / name) as file:
                file.write(text.encode())
        check(hidden)
        _publish(hidden, check_folder(folder, force=force))


def is_hub_folder(path: _Path) -> bool:
    """Whether a path is a folder that `write_folder` wrote, by its configuration."""
    try:
        with (Path(path) / CONFIG).open("rb") as file:
            return bool(json.loads(file.read(LONGEST_CONFIG))["architecture"] == MODIFIED)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _configuration(contents: Contents, config: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in config.items() if key not in _OF_THE_BASE}
    size = contents.recipe.provenance.input_size
    document = {
        "architecture": MODIFIED,
        **{key: config[key] for key in ("num_classes", "num_features") if key in config},
        "model_args": {RECIPE: to_plain(contents.recipe)},
        "pretrained_cfg": kept | ({"input_size": list(size)} if size else {}),
    }
    return json.dumps(document, indent=2) + "\n"


@contextmanager
def _hidden(target: Path) -> Iterator[Path]:
    """A new folder beside the target, locked while it is filled."""
    _sweep(target)
    hidden = target.with_name(f"{hidden_prefix(target)}{secrets.token_hex(8)}.tmp")
    try:
        hidden.mkdir()
        with _locked(hidden):
            yield hidden
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _sweep(target: Path) -> None:
    """Remove what killed runs left behind; a folder that one was about to replace gets its name back."""
    for left in target.parent.glob(f"{hidden_prefix(target)}*.tmp"):
        with contextlib.suppress(OSError), _locked(left):
            if left.name.endswith(_OLD) and not target.exists():
                left.rename(target)
            else:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Raises BlockingIOError if another process fills the folder."""
    if os.name == "nt":  # where a folder cannot be opened
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _publish(hidden: Path, target: Path) -> None:
    """Rename the folder; one that was written before is back in its place if that fails."""
    if not target.exists():
        hidden.rename(target)
        return
    old = hidden.with_name(f"{hidden.stem}{_OLD}")
    target.rename(old)
    try:
        hidden.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
