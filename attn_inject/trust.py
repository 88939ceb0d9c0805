"""Names of code, and where they come from: the one test before anything of `package.module:NAME` runs.

A name that the user types may run. A name in a file may not: a zoo.toml, a list of models, a recipe or a
saved file may come from anywhere, so code that it names runs only with `--trust`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from attn_inject.errors import FileError, UsageError

_FILES = (".pt", ".pth", ".safetensors")
_LONGEST_LIST = 2**20  # bytes


KINDS = {
    "model": "a name, a saved file, or package.module:factory",
    "attention": "a name, or package.module:Class, without glob and options",
    "factory": "always code, as a saved file calls the source of its model",
}


@dataclass(frozen=True)
class GivenName:
    """The name of a model or an attention module, and where it comes from.

    Attributes:
        text: The name.
        where: The file that holds it, with line and key if they are known; empty if the user typed it.
        kind: A key of `KINDS`.
    """

    text: str
    where: str = ""
    kind: str = "model"

    @property
    def is_typed(self) -> bool:
        """Whether the user typed it, as a flag, an argument or in Python."""
        return not self.where

    @property
    def is_code(self) -> bool:
        """Whether it names code outside the libraries."""
        if self.kind == "attention":
            return ":" in self.text and not self.text.lower().startswith("timm:")
        return self.kind == "factory" or (":" in self.text and not self.text.endswith(_FILES))


def require_trust(names: Iterable[GivenName], *, trust: bool) -> None:
    """Refuse names that may not run; called before the code of any of them is imported.

    Args:
        names: What is about to be used.
        trust: Whether the user typed `--trust`, or wrote `trust=True` in Python.

    Raises:
        FileError: A file names code and is not trusted; the message has the place and the name.
    """
    if trust:
        return
    for name in names:
        if name.is_code and not name.is_typed:
            raise FileError(
                f"{name.where} names {name.text}, and using it would run that code.",
                hint="If you trust the file's origin, pass --trust, or trust=True in Python.",
            )


# What only the user may allow, and why a file may not.
_TYPED_ONLY = {
    "trust": ("a file cannot declare itself trusted", "if you trust the file's origin, pass --trust"),
    "force": ("a file cannot allow that your files are replaced", "if you want that, pass --force"),
    "ray": (
        "a file cannot choose the cluster, whose answers run code here",
        "if it is your cluster, pass --ray ADDRESS",
    ),
}


def refuse_typed_only(names: Iterable[str], tell: Callable[[str], str]) -> None:
    """Refuse options in a file that only the user may give.

    Args:
        names: The options in the file.
        tell: From an option's name to its file, line and key.

    Raises:
        FileError: One of them is `trust`, `force` or `ray`.
    """
    for name in names:
        if name in _TYPED_ONLY:
            reason, wish = _TYPED_ONLY[name]
            raise FileError(f"{tell(name)} is refused: {reason}.", hint=f"Remove the line; {wish}.")


_STORES = ("abfs", "abfss", "adl", "az", "file", "gcs", "gs", "hf", "memory", "s3", "s3a")


def require_known_store(url: str, where: str, *, trust: bool) -> None:
    """Refuse an output folder in a file that is reached by other means than the usual stores.

    Some of fsspec's protocols connect to programs whose answers run code, or read other files first.

    Raises:
        FileError: The URL is of another kind, and the user did not type `--trust`.
    """
    protocol, found, _ = url.partition("://")
    if found and protocol not in _STORES and not trust:
        raise FileError(
            f"{where} is refused: a file may name a folder, or one of {', '.join(_STORES)}.",
            hint="Name the folder with --out-dir; or if you trust the file's origin, pass --trust.",
        )


def names_in(path: Path) -> list[GivenName]:
    """The names of models in a list, one per line; `#` begins a comment.

    Raises:
        FileError: It cannot be read, is not text, or is longer than any list.
        UsageError: It names no model, or another list.
    """
    lines = [line.partition("#")[0].strip() for line in _list_text(path).splitlines()]
    names = [GivenName(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line]
    if nested := [name for name in names if name.text.startswith("@")]:
        raise UsageError(
            f"{nested[0].where} names another list, {nested[0].text}.", hint="Write its models here."
        )
    if not names:
        raise UsageError(f"{path} names no model.", hint="Write one model per line.")
    return names


def _list_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_LIST + 1)
        if len(content) > _LONGEST_LIST:
            reason = f"it has more than {_LONGEST_LIST} bytes"
        else:
            return content.decode()
    except OSError as error:
        reason = error.strerror or str(error)
    except (UnicodeDecodeError, ValueError):
        reason = "it is not text"
    raise FileError(
        f"The list of models {path} cannot be read: {reason}.",
        hint="It is a text file with one model per line; # begins a comment.",
    )
