"""The recipe: enough plain data to repeat an operation on an empty copy of the same architecture."""

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
from attn_inject.surgery.edit import Splice
from attn_inject.surgery.stem import POOL, STEM

SOURCES = ("timm", "torchvision", "factory", "object")
LAYOUTS = ("NCHW", "NHWC", "NLC", "NCDHW", "NDHWC")
STARTS = ("identity", "paper")

_PLACED = (*(name for name in PLACEMENTS if name != "paper"), STEM, POOL)
_MODULE = re.compile(r"attn_inject(_[0-9]+)?")


@dataclass(frozen=True)
class Recipe:
    """What was done to which model.

    Attributes:
        provenance: Where the untouched model is from.
        splices: What was written in, in order.
        plans: What was asked, operation by operation, as `plan.to_dict` gives it.
        versions: Of attn-inject and the libraries when the file was written.
    """

    provenance: Provenance
    splices: tuple[Splice, ...]
    plans: tuple[Mapping[str, Any], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def to_plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as dictionaries, lists, text and numbers.

    Raises:
        FileError: An argument or option is something else; it is named.
    """
    data: dict[str, Any] = plain.to_plain(recipe, "recipe")
    return data


def from_plain(data: Any) -> Recipe:
    """The reverse of `to_plain`, for data that nobody vouches for.

    Raises:
        FileError: A field is unknown, missing, ill-typed or outside its vocabulary; it is named.
    """
    recipe: Recipe = plain.from_plain(plain.to_plain(data, "recipe"), Recipe, "recipe")
    check_words(recipe)
    return recipe


def check_words(recipe: Recipe) -> None:
    """Refuse a recipe whose words and sizes surgery does not know.

    Raises:
        FileError: Names the field.
    """
    _check_word(recipe.provenance.source, SOURCES, "recipe: provenance: source")
    for index, splice in enumerate(recipe.splices):
        where = f"recipe: splices[{index}]"
        _check_word(splice.placement, _PLACED, f"{where}: placement")
        _check_word(splice.start, STARTS, f"{where}: start")
        _check_word(splice.layout, LAYOUTS, f"{where}: layout")
        _check_names(splice, where)
        _check_sizes(splice, where)


def _check_names(splice: Splice, where: str) -> None:
    """Surgery writes these names into the source of a block's forward, so they must be names."""
    if not _MODULE.fullmatch(splice.module):
        raise FileError(
            f"{where}: module is {splice.module!r:.80}, but must be attn_inject or attn_inject_1 and so on.",
            hint="The file is damaged.",
        )
    for name in splice.fixed:
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


def _check_sizes(splice: Splice, where: str) -> None:
    sizes = {
        "channels": splice.channels,
        "height": splice.height,
        "width": splice.width,
        "stage": splice.stage,
        "calls": splice.calls,
        "stride": splice.stride,
    }
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise FileError(f"{where}: {name} is {size}, but must be positive.", hint="The file is damaged.")
