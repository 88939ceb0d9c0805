"""The rule that makes names: BASE_ATTENTION, an attention module's name written with `_` for `-`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator

from attn_inject.attention import registry


def split(name: str, is_base: Callable[[str], bool]) -> tuple[str, str] | None:
    """(base, attention module) of a name made by the rule, or None for any other name.

    Args:
        name: An architecture, without a pretrained tag.
        is_base: Whether an architecture may be modified.
    """
    for suffix, attention in _suffixes().items():
        base = name.removesuffix(f"_{suffix}")
        if base != name and is_base(base):
            return base, attention
    return None


def asked_for(glob: str, bases: Iterable[str]) -> Iterator[str]:
    """The names made by the rule that a glob matches: its end is, or matches, an attention module.

    `*_ela_l`, `resnet50_ela*` and `resnet50*ela_l` do; `resnet*` does not, so that it still
    lists only timm's own models, and neither does `*se*`, which finds timm's SE networks.

    Args:
        glob: As `timm.list_models` takes it; a pretrained tag in it is ignored.
        bases: The architectures that may be modified.
    """
    pattern = glob.partition(".")[0]
    for head, tail in _halves(pattern):
        for suffix in fnmatch.filter(_suffixes(), tail):
            yield from (f"{base}_{suffix}" for base in fnmatch.filter(bases, head))


def _halves(pattern: str) -> Iterator[tuple[str, str]]:
    """How a glob may be split into one for the base and one for the module; a `*` may hide the `_`."""
    for cut in re.finditer(r"[_*]", pattern):
        if cut[0] == "_" and re.match(r"\*?[A-Za-z0-9]{2}", pattern[cut.end() :]):
            yield pattern[: cut.start()], pattern[cut.end() :]
        if cut[0] == "*" and re.match(r"\*[A-Za-z0-9]{2,}_", pattern[cut.start() :]):
            yield pattern[: cut.end()], pattern[cut.start() :]


def _suffixes() -> dict[str, str]:
    return {name.replace("-", "_"): name for name in registry.entries()}
