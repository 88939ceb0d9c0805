"""Find a model's state dict in whatever a file holds around it.

A checkpoint is flattened to dotted names, so that keys around the state dict (`state_dict`, `model`, `net`)
and prefixes inside it (`module.`, `backbone.`) are the same thing: what stands before the names that the
model has. It is found by comparing the ends of names and the shapes, and not by a list of known words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

# Takes the place of a tensor of the model whose shape is not known.
ANY_SHAPE = "any shape"
_DEEPEST = 8
_TRIED = 8  # of the pairs of prefixes that most names agree on
_AVERAGED = re.compile(r"(^|[._])(ema|averaged|swa)([._]|$)")
# What torch.compile, FSDP and activation checkpointing put into names.
_WRAPPED = re.compile(r"(?<![^.])_\w+\.")


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One value of a checkpoint.

    Attributes:
        inside: The keys around it, with dots; empty at the top.
        value: A tensor or anything else.
    """

    inside: str
    value: Any


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The state dict of one model in a checkpoint.

    Attributes:
        state: Its entries by the model's own names; names that the model does not have stay as they are.
        key: The keys that it was found under, with dots, or an empty text.
        prefix: What was left out before its names, with the last dot.
        own_prefix: What was put before its names, with the last dot.
        beside: Names of tensors beside those with the prefix.
        others: What fits as well, as `--weights-key` takes it.
    """

    state: Mapping[str, Any]
    key: str = ""
    prefix: str = ""
    own_prefix: str = ""
    beside: tuple[str, ...] = ()
    others: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        """`key state_dict, prefix module.`, or nothing."""
        told = [f"key {self.key}"] if self.key else []
        if self.prefix:
            told.append(f"prefix {self.prefix}" + (f" as {self.own_prefix}" if self.own_prefix else ""))
        elif self.own_prefix:
            told.append(f"under {self.own_prefix}")
        return ", ".join(told)

    @property
    def is_averaged(self) -> bool:
        """Whether these are averaged weights (EMA, SWA), by their key or prefix."""
        return bool(_AVERAGED.search(f"{self.key}.{self.prefix}".lower()))


def flattened(content: Any) -> dict[str, Leaf]:
    """Every value of nested mappings with textual keys, by its dotted name; numpy's arrays as tensors."""
    return dict(_leaves(content, "", ())) if isinstance(content, Mapping) else {}


def keys_of(leaves: Mapping[str, Leaf]) -> list[str]:
    """The keys around the tensors of a checkpoint, with dots, in order; the top is left out."""
    return [key for key in dict.fromkeys(leaf.inside for leaf in leaves.values() if _is_tensor(leaf)) if key]


def under(leaves: Mapping[str, Leaf], key: str) -> dict[str, Leaf]:
    """The tensors under a key or a prefix; the last part of it is enough."""
    return {name: leaf for name, leaf in leaves.items() if _is_tensor(leaf) and f".{key}." in f".{name}"}


def select(leaves: Mapping[str, Leaf], own: Mapping[str, Any]) -> Selection:
    """The part of a checkpoint that fits best to a model's own state dict.

    Of equal ones averaged weights come first, as in timm, then the first in the file.

    Args:
        leaves: What `flattened` returns.
        own: The model's own state dict; the shapes of values that are not tensors are not compared.
    """
    inside = list(dict.fromkeys(leaf.inside for leaf in leaves.values()))
    pairs = _pairs(leaves, own)
    found = [_selection(leaves, own, inside, *pair) for pair in pairs]
    counts = [sum(_fits(value, own.get(name)) for name, value in each.state.items()) for each in found]
    best = max(counts)
    equal = [each for each, count in zip(found, counts, strict=True) if count == best]
    first, *others = sorted(equal, key=lambda each: not each.is_averaged)
    labels = [_label(each, first) for each in others if best]
    return Selection(**{**vars(first), "others": tuple(label for label in dict.fromkeys(labels) if label)})


def unprefixed(leaves: Mapping[str, Leaf], own: Mapping[str, Any]) -> Selection:
    """The largest mapping of tensors in a checkpoint as it is, for saying what does not fit."""
    sizes = Counter(leaf.inside for leaf in leaves.values() if _is_tensor(leaf))
    key = sizes.most_common(1)[0][0]
    return _selection(leaves, own, [key], f"{key}." if key else "", "")


def _leaves(content: Mapping[Any, Any], inside: str, above: tuple[int, ...]) -> Iterator[tuple[str, Leaf]]:
    if len(above) >= _DEEPEST or id(content) in above:
        return
    for key, value in content.items():
        if not isinstance(key, str):
            continue
        name = f"{inside}.{key}" if inside else key
        if isinstance(value, Mapping):
            yield from _leaves(value, name, (*above, id(content)))
        else:
            yield name, Leaf(inside=inside, value=_as_tensor(value))


def _as_tensor(value: Any) -> Any:
    if (
        type(value).__module__ == "numpy"
        and type(value).__name__ == "ndarray"
        and value.dtype.kind in "fiubc"
    ):
        return torch.from_numpy(value)
    return value


def _is_tensor(leaf: Leaf) -> bool:
    return isinstance(leaf.value, torch.Tensor)


def _pairs(leaves: Mapping[str, Leaf], own: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(prefix in the file, prefix in the model), those first that most names agree on."""
    ends: dict[str, list[str]] = {}
    for name in own:
        for at in _starts(name):
            ends.setdefault(name[at:], []).append(name[:at])
    votes: Counter[tuple[str, str]] = Counter()
    for name, leaf in leaves.items():
        if not _is_tensor(leaf):
            continue
        plain = _plain(name, own)
        for at in _starts(plain):
            # Two modules that end alike, such as `weight`, say nothing.
            before = [b for b in ends.get(plain[at:], ())[:_TRIED] if _fits(leaf.value, own[b + plain[at:]])]
            if before:
                votes.update((plain[:at], b) for b in before)
                break
    best = [pair for pair, _ in votes.most_common(_TRIED)]
    return [("", ""), *(pair for pair in best if pair != ("", ""))]


def _starts(name: str) -> Iterator[int]:
    """Where the ends of a dotted name begin, the longest first."""
    yield 0
    for dot in re.finditer(r"\.", name):
        yield dot.end()


def _plain(name: str, own: Mapping[str, Any]) -> str:
    """A name without what wrappers put into it."""
    return name if name in own else _WRAPPED.sub("", name)


def _selection(
    leaves: Mapping[str, Leaf], own: Mapping[str, Any], inside: list[str], prefix: str, own_prefix: str
) -> Selection:
    """What one pair of prefixes makes of a checkpoint."""
    key = max((k for k in inside if prefix.startswith(f"{k}.")), key=len, default="")
    start = f"{key}." if key else ""
    state: dict[str, Any] = {}
    beside = []
    for name, leaf in leaves.items():
        plain = _plain(name, own)
        has_prefix = plain.startswith(prefix)
        renamed = own_prefix + plain.removeprefix(prefix) if has_prefix else name.removeprefix(start)
        if renamed in own and (has_prefix or name.startswith(start)):
            state.setdefault(renamed, leaf.value)
        elif leaf.inside == key and _is_tensor(leaf):
            if has_prefix:
                state.setdefault(renamed, leaf.value)
            else:
                beside.append(renamed)
    return Selection(
        state=state,
        key=key,
        prefix=prefix.removeprefix(start),
        own_prefix=own_prefix,
        beside=tuple(beside),
    )


def _fits(value: Any, own: Any) -> bool:
    if not isinstance(value, torch.Tensor):
        return False
    return value.shape == own.shape if isinstance(own, torch.Tensor) else own is not None


def _label(other: Selection, taken: Selection) -> str:
    """How `--weights-key` names what was not taken."""
    if other.key != taken.key:
        return other.key
    start = f"{other.key}." if other.key else ""
    return (start + other.prefix).rstrip(".") if other.prefix != taken.prefix else ""
