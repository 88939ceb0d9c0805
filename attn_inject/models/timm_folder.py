"""Models that timm keeps with their configuration: `hf-hub:ORG/NAME[@REVISION]` and `local-dir:FOLDER`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attn_inject.errors import FileError
from attn_inject.models.library_errors import library, one_line
from attn_inject.models.network import hub, without_retries
from attn_inject.request import ModelRequest
from attn_inject.weights import WeightsOrigin

PREFIXES = ("hf-hub:", "local-dir:")
MODIFIED = "attn_inject_saved"  # the architecture of a folder that `export --format hub` wrote
CONFIG = "config.json"
LONGEST_CONFIG = 2**23  # bytes; the names and descriptions of 20,000 classes take 2 MB
_NAME = re.compile(r"\w[\w.-]*")
_LARGEST = 2**31  # classes, pixels; torch's own numbers are not much larger


@dataclasses.dataclass(frozen=True)
class TimmFolder:
    """A folder or repository as timm writes them.

    Attributes:
        name: As the user typed it.
        architecture: timm's name.
        config: timm's configuration of the weights, which says where they are.
        arguments: Of the architecture.
    """

    name: str
    architecture: str
    config: Mapping[str, Any]
    arguments: Mapping[str, Any]

    @property
    def weights(self) -> WeightsOrigin:
        """What its weights are called."""
        kind, _, place = self.name.partition(":")
        repository, _, revision = place.partition("@")
        if kind == "hf-hub":
            return WeightsOrigin(kind="hub", name=repository, revision=revision)
        return WeightsOrigin(kind="folder", name=place)

    def asked(self, request: ModelRequest) -> ModelRequest:
        """The request for the plain architecture, with everything that the configuration adds."""
        arguments = {**self.arguments, **request.model_args}
        if self.config.get("global_pool"):
            arguments.setdefault("global_pool", self.config["global_pool"])
        classes = request.num_classes
        if classes is None and "num_classes" not in arguments:
            classes = self.config.get("num_classes")
        size = self.config.get("input_size")
        return dataclasses.replace(
            request,
            name=f"timm/{self.architecture}",
            model_args=arguments,
            num_classes=classes,
            input_size=request.input_size or (tuple(size) if size else None),
        )


def is_folder_name(text: str) -> bool:
    """Whether a name has one of timm's prefixes."""
    return text.startswith(PREFIXES)


def read_folder(name: str) -> TimmFolder:
    """Read the configuration; nothing else is fetched.

    Raises:
        FileError: It cannot be had, is not timm's, is longer than any, or holds a value of another type.
    """
    timm = library("timm")
    kind, _, place = name.partition(":")
    try:
        if kind == "local-dir":
            _check_length(Path(place) / CONFIG)
            config, architecture, arguments = timm.models._hub.load_model_config_from_path(place)
        else:
            with without_retries(hub()):
                config, architecture, arguments = timm.models.load_model_config_from_hf(place)
    except FileError:
        raise
    except Exception as error:
        raise _unreadable(name, kind, place, error) from error
    for key, value, is_right, kind_of_value in _expected(config, architecture, arguments):
        if not is_right:
            raise FileError(
                f"{name} cannot be read: in its {CONFIG}, {key} is {value!r:.80}, not {kind_of_value}.",
                hint="Write the folder again with timm's save_for_hf.",
            )
    if architecture == MODIFIED:
        loads = place if kind == "local-dir" else f"attn_inject.load({name!r})"
        raise FileError(
            f"{name} holds a model that attn-inject has modified, not weights of a plain architecture.",
            hint=f"Name it as a saved file: {loads}.",
        )
    return TimmFolder(name, architecture, config, arguments or {})


def _check_length(path: Path) -> None:
    if path.stat().st_size > LONGEST_CONFIG:
        raise FileError(
            f"{path} has more than {LONGEST_CONFIG} bytes.", hint="timm's configurations are much shorter."
        )


def _expected(config: Any, architecture: Any, arguments: Any) -> Iterator[tuple[str, Any, bool, str]]:
    """(key, value, whether it is of its type, the type in words) of everything that is used here."""
    is_name = isinstance(architecture, str) and _NAME.fullmatch(architecture) is not None
    yield "architecture", architecture, is_name, "a name of timm"
    arguments = {} if arguments is None else arguments
    yield "model_args", arguments, isinstance(arguments, dict), "a table"
    yield "pretrained_cfg", config, isinstance(config, dict), "a table"
    classes, size, pool = (config.get(key) for key in ("num_classes", "input_size", "global_pool"))
    yield "num_classes", classes, classes is None or _is_count(classes), "a whole number"
    is_size = isinstance(size, list | tuple) and 3 <= len(size) <= 4 and all(map(_is_count, size))
    yield "input_size", size, not size or is_size, "[channels, height, width]"
    yield "global_pool", pool, not pool or isinstance(pool, str), "a text"


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _unreadable(name: str, kind: str, place: str, error: Exception) -> FileError:
    if isinstance(error, FileNotFoundError) and kind == "local-dir":
        return FileError(
            f"{place!r} has no config.json.",
            hint="local-dir:FOLDER names a folder that timm's save_for_hf or `attn-inject export` wrote.",
        )
    if any(word in type(error).__name__ for word in ("Offline", "LocalEntryNotFound")):
        return FileError(
            f"{name} is not on this machine, and the Hugging Face Hub cannot be reached.",
            hint="Copy the repository and pass the copy: local-dir:FOLDER.",
        )
    return FileError(f"{name} cannot be read: {one_line(error)}", hint="Check its name.")
