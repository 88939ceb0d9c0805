"""The recipe: enough plain data to repeat the edits on an empty copy of the same architecture."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_inject.errors import FileError
from attn_inject.files import plain
from attn_inject.models.loaded import Provenance
from attn_inject.request import PLACEMENTS
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.placements.stem import POOL, STEM

SOURCES = ("timm", "torchvision", "factory", "object")
LAYOUTS = ("NCHW", "NHWC", "NLC", "NCDHW", "NDHWC")
STARTS = ("identity", "paper")

# The keys of an edit in format version 1, in this order.
EDIT_KEYS = (
    *(
        "name",
        "module",
        "attention",
        "options",
        "placement",
        "start",
        "layout",
        "channels",
        "height",
        "width",
    ),
    *("prefix", "shape", "element", "tap", "users", "fixed", "block", "stage", "calls", "stride", "removed"),
    *("note", "operation", "suffix", "source"),
)

_PLACED = (*(name for name in PLACEMENTS if name != "paper"), STEM, POOL)
_MODULE = re.compile(r"attn_inject(_[0-9]+)?")


@dataclass(frozen=True)
class Recipe:
    """The source of a model and its edits.

    Attributes:
        provenance: The source of the untouched model.
        edits: What was inserted, in order.
        plans: The plans in their order, each as `request.to_dict` returns it.
        versions: Of attn-inject and the libraries when the file was written.
    """

    provenance: Provenance
    edits: tuple[Edit, ...] = field(metadata={"key": "splices"})
    plans: tuple[Mapping[str, Any], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def to_plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as dictionaries, lists, text and numbers.

    Raises:
        FileError: An argument or option is something else; it is named.
    """
    data: dict[str, Any] = plain.to_plain(recipe, "recipe")
    return data | {
        "splices": [{key: edit[key] for key in EDIT_KEYS if key in edit} for edit in data["splices"]]
    }


def from_plain(data: Any) -> Recipe:
    """The reverse of `to_plain`, for untrusted data.

    Raises:
        FileError: A field is unknown, missing, of another type or an unknown value; it is named.
    """
    recipe: Recipe = plain.from_plain(plain.to_plain(data, "recipe"), Recipe, "recipe")
    check_words(recipe)
    return recipe


def check_words(recipe: Recipe) -> None:
    """Refuse a recipe with values and sizes that surgery does not support.

    Raises:
        FileError: Names the field.
    """
    _check_word(recipe.provenance.source, SOURCES, "recipe: provenance: source")
    for index, edit in enumerate(recipe.edits):
        where = f"recipe: splices[{index}]"
        _check_word(edit.placement, _PLACED, f"{where}: placement")
        _check_word(edit.start, STARTS, f"{where}: start")
        _check_word(edit.site.layout, LAYOUTS, f"{where}: layout")
        _check_names(edit, where)
        _check_sizes(edit, where)


def _check_names(edit: Edit, where: str) -> None:
    """Check names that surgery writes into source code, so that they are identifiers."""
    if not _MODULE.fullmatch(edit.module):
        raise FileError(
            f"{where}: module is {edit.module!r:.80}, but must be attn_inject or attn_inject_1 and so on.",
            hint="The file is damaged.",
        )
    for name in edit.specialized:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise FileError(
                f"{where}: fixed has {name!r:.80}, which names no argument.", hint="The file is damaged."
            )


def _check_word(value: str, known: Collection[str], where: str) -> None:
    if value not in known:
        raise FileError(
            f"{where} is {value!r:.80}, but must be one of {', '.join(known)}.",
            hint="A newer attn-inject may know it, if the file is not damaged.",
        )


def _check_sizes(edit: Edit, where: str) -> None:
    sizes = {
        "channels": edit.site.channels,
        "height": edit.site.height,
        "width": edit.site.width,
        "stage": edit.site.stage,
        "calls": edit.site.calls,
        "stride": edit.stride,
    }
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise FileError(f"{where}: {name} is {size}, but must be positive.", hint="The file is damaged.")
