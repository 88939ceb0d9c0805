"""The content of a saved file of any format, and its form as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from attn_inject.errors import FileError
from attn_inject.files import plain
from attn_inject.files.recipe import Recipe, check_words, to_plain
from attn_inject.files.tensors import storable

FORMAT = "attn-inject"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A modified model as data.

    Attributes:
        recipe: How to build it again.
        state_dict: Its tensors by name, on the CPU.
        digest: Of the state dict when it was written, see `structure_digest`.
        structure: Of the model when it was written, see `structure_digest`.
        reference: A seed and the output on the input made from it, or None.
        replaced: Tensors of the base that were replaced, by name, if they were kept.
        whole: If only attention is kept, the digest of the whole state dict; else None.
    """

    recipe: Recipe
    state_dict: Mapping[str, Any]
    digest: str
    structure: Mapping[str, str]
    reference: Mapping[str, Any] | None = field(default=None, metadata={"key": "witness"})
    replaced: Mapping[str, Any] = field(default_factory=dict)
    whole: str | None = None

    @property
    def tensors(self) -> dict[str, Any]:
        """The tensors that the digest covers."""
        return {**self.state_dict, **self.replaced}


def to_payload(contents: Contents) -> dict[str, Any]:
    """Contents as plain data and tensors; equal contents give equal bytes.

    Raises:
        FileError: Something in it cannot be kept; it is named.
    """
    # An output may be a view of a larger tensor, or have a graph.
    reference = pytree.tree_map_only(torch.Tensor, lambda t: t.detach().cpu().clone(), contents.reference)
    tensors = storable(contents.tensors)
    kept = replace(
        contents,
        state_dict={name: tensors[name] for name in contents.state_dict},
        replaced={name: tensors[name] for name in contents.replaced},
        reference=reference,
    )
    payload = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **plain.to_plain(kept, "the file", tensors=True),
    }
    return payload | {"recipe": to_plain(kept.recipe)}


def from_payload(payload: Any, path: str) -> Contents:
    """The reverse, for untrusted data.

    Raises:
        FileError: It is foreign, newer than this program, or malformed.
    """
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise foreign(path)
    _check_version(payload.get("format_version"), path)
    rest = {name: item for name, item in payload.items() if name not in ("format", "format_version")}
    data = plain.to_plain(rest, path, tensors=True)
    contents: Contents = plain.from_plain(data, Contents, path)
    check_words(contents.recipe)
    return contents


def foreign(path: str) -> FileError:
    """For a file that another program wrote."""
    return FileError(
        f"{path} was not written by attn-inject.",
        hint=f"If it holds weights, load it into an architecture: attn-inject MODEL --weights {path}",
    )


def _check_version(version: Any, path: str) -> None:
    if type(version) is not int or version < 1:
        raise FileError(f"{path} has no format version.", hint="It is damaged; save it again.")
    if version > FORMAT_VERSION:
        raise FileError(
            f"{path} has format version {version}; this attn-inject reads up to {FORMAT_VERSION}.",
            hint="Install a newer one: pip install --upgrade attn-inject",
        )
