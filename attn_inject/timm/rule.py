"""The rule that makes names: BASE_ATTENTION, an attention module's name written with `_` for `-`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator

from attn_inject import registry


def split(name: str, is_base: Callable[[str], bool]) -> tuple[str, str] | None:
    """(base, attention module) of a name made by the rule, or None for any other name.

    Args:
        name: An architecture, without a pretrained tag.
        is_base: Whether an architecture may be operated.
    """
    for suffix, attention in _suffixes().items():
        base = name.removesuffix(f"_{suffix}")
        if base != name and is_base(base):
            return base, attention
    return None


def asked_for(glob: str, bases: Iterable[str]) -> Iterator[str]:
    """The names made by the rule that a glob asks for: its last words are, or match, an attention module.

    `*_ela_l` and `resnet50_ela_*` do; `resnet*` does not, so that a list of timm's own models stays one.

    Args:
        glob: As `timm.list_models` takes it; a pretrained tag in it is passed over.
        bases: The architectures that may be operated.
    """
    pattern = glob.partition(".")[0]
    for underscore in re.finditer("_", pattern):
        head, tail = pattern[: underscore.start()], pattern[underscore.end() :]
        if not re.match(r"[A-Za-z0-9]+(_|$)", tail):
            continue
        for suffix in fnmatch.filter(_suffixes(), tail):
            yield from (f"{base}_{suffix}" for base in fnmatch.filter(bases, head))


def _suffixes() -> dict[str, str]:
    return {name.replace("-", "_"): name for name in registry.entries()}
