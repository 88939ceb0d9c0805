"""How a library's or a factory's own error is reported."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from attn_inject.errors import MissingExtraError, ModelError

_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
_LONGEST = 300
_SHOWN = 3


def one_line(error: BaseException) -> str:
    """The class and the message of an error, on one line."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def some(names: Sequence[str]) -> str:
    """`a, b, c and 21 more`."""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def refused(
    what: str, arguments: Mapping[str, Any], error: BaseException, *, pretrained: bool = False
) -> ModelError:
    """A builder raised: name the argument that it does not take, or all its arguments and its error."""
    if pretrained and isinstance(error, OSError):
        return ModelError(
            f"The weights of {what} are not on this machine and could not be downloaded: {_network(error)}",
            hint="Without a network, pass a local copy as weights (--weights FILE), or leave out pretrained "
            "(--pretrained) for random weights.",
        )
    unexpected = _UNEXPECTED.search(str(error))
    if isinstance(error, TypeError) and unexpected and unexpected[1] in arguments:
        return ModelError(
            f"{what} takes no argument {unexpected[1]!r}.",
            hint="num_classes, input_size and model_args (--num-classes, --input-size, --model-arg) become "
            "arguments of its constructor.",
        )
    given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    message = f"{what} cannot be built{f' with {given}' if given else ''}: {one_line(error)}"
    return ModelError(message)


def _network(error: BaseException) -> str:
    """The hub's library tells at length what one word says."""
    is_offline = any(word in type(error).__name__ for word in ("Offline", "LocalEntryNotFound"))
    return "the Hugging Face Hub cannot be reached." if is_offline else one_line(error)


def library(name: str) -> ModuleType:
    """Import timm or torchvision.

    Raises:
        MissingExtraError: It is missing or broken; a torchvision built for another torch fails on import.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise MissingExtraError(
            f"{name} cannot be imported: {one_line(error)}",
            hint="`attn-inject doctor` says which versions fit together.",
        ) from error
