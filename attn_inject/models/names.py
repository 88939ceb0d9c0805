"""From the name that a user types to a source and its own name for the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from attn_inject.errors import FileError, UnknownNameError, UsageError, unknown_name
from attn_inject.models import from_factory, from_timm, from_torchvision
from attn_inject.models.timm_folder import is_folder_name

# The order in which a bare name is looked up.
_LIBRARIES = {"timm": from_timm, "torchvision": from_torchvision}
_FILES = (".pt", ".pth", ".safetensors")


@dataclass(frozen=True)
class ResolvedName:
    """A name, looked up.

    Attributes:
        source: `timm`, `torchvision` or `factory`.
        name: The source's own name, without the prefix, with its tag.
        note: A sentence for people, or an empty text.
    """

    source: str
    name: str
    note: str = ""


def resolve(text: str) -> ResolvedName:
    """Look up `resnet50`, `resnet50.a1_in1k`, `timm/NAME`, `torchvision/NAME` or `package.module:factory`.

    timm's `hf-hub:ORG/NAME` and `local-dir:FOLDER` are only recognised, not read.

    Raises:
        UnknownNameError: No library has it; the three nearest names are in the hint.
        UsageError: It has the form of a factory's name, but does not name one.
        FileError: It names a file of weights.
    """
    if text.endswith(_FILES):
        raise FileError(
            f"{text!r} is a file, not the name of a model.",
            hint="Check the path. Weights for a named model are passed separately (--weights FILE).",
        )
    if is_folder_name(text):
        return ResolvedName("timm", text)
    if ":" in text:
        if from_factory.resolve(text) is None:
            raise UsageError(
                f"{text!r} does not name a factory.",
                hint="Write package.module:factory, hf-hub:ORG/NAME or local-dir:FOLDER.",
            )
        return ResolvedName("factory", text)
    prefix, slash, rest = text.partition("/")
    if slash and prefix in _LIBRARIES:
        name = _LIBRARIES[prefix].resolve(rest)
        if name is None:
            raise _unknown(rest, [prefix])
        return _found(prefix, rest, name)
    return _bare(text)


def model_names(glob: str = "*") -> list[tuple[str, str]]:
    """(source, name) of every architecture that a glob matches, in each library's own order.

    `timm/GLOB` and `torchvision/GLOB` ask one library; a glob with a dot lists tags, `resnet50.*`.
    """
    prefix, slash, rest = glob.partition("/")
    asked, glob = ([prefix], rest) if slash and prefix in _LIBRARIES else (list(_LIBRARIES), glob)
    return [(source, name) for source in asked for name in _LIBRARIES[source].names(glob)]


def _bare(text: str) -> ResolvedName:
    found = [
        _found(source, text, name)
        for source, library in _LIBRARIES.items()
        if (name := library.resolve(text)) is not None
    ]
    if not found:
        raise _unknown(text, _LIBRARIES)
    if len(found) == 1:
        return found[0]
    first, second = found
    note = f"{text!r} is {first.source}'s; the other model of that name is '{second.source}/{second.name}'."
    return ResolvedName(first.source, first.name, note)


def _found(source: str, typed: str, name: str) -> ResolvedName:
    renewed = source == "timm" and name != typed
    return ResolvedName(source, name, f"timm now calls {typed!r} {name!r}." if renewed else "")


def _unknown(text: str, sources: Iterable[str]) -> UnknownNameError:
    """The nearest tags of a known architecture, else the nearest architectures."""
    architecture = text.partition(".")[0]
    known = [name for source in sources for name in _LIBRARIES[source].tags(architecture)]
    if "." not in text or not known:
        known = [name for source in sources for name in _LIBRARIES[source].names()]
    return unknown_name("model", text, known, see="attn-inject list models")
