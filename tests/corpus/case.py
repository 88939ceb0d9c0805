"""One model of another library: how to build it, how to call it, and which residual blocks it has."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Place:
    """Blocks of one kind in one model.

    Attributes:
        glob: Matches `NAME:CLASS` of these blocks, as in `encoder.layers.0:ViTLayer`; `*` crosses dots.
        stated: How many blocks the model's own configuration states; None where it states no number.
        residual: How many of them add to a shortcut. It differs from `stated` only with a reason.
        why: What the library's source does that its configuration does not say, in one line.
        refusal: Where it may be that no module stands for a block: the rejection that then has to say so,
            a glob of `NAME:CLASS:CODE`, as in `(model):*:in-model`; "" where nothing excuses.
    """

    glob: str
    stated: int | None
    residual: int
    why: str = ""
    refusal: str = ""

    def __post_init__(self) -> None:
        if self.stated != self.residual and not self.why:
            raise ValueError(
                f"{self.glob}: {self.stated} stated, {self.residual} residual, and no reason why"
            )


@dataclass(frozen=True)
class Case:
    """One model.

    Attributes:
        name: Its class or architecture, and what sets it apart.
        build: Makes it with random weights.
        example: Makes its input, as `example_input` takes it, two samples where it can.
        places: Reads from the built model where its blocks are, and how many.
    """

    name: str
    build: Callable[[], nn.Module]
    example: Callable[[], Any]
    places: Callable[[Any], Sequence[Place]]


def stated(glob: str, count: int) -> Place:
    """Blocks that the configuration counts, each of which adds to a shortcut."""
    return Place(glob, count, count)


def layers(kind: str, count: int) -> Place:
    """Blocks of one class that the configuration counts, each of which adds to a shortcut."""
    return stated(f"*:{kind}", count)


def partly(glob: str, count: int, residual: int, why: str) -> Place:
    """Blocks that the configuration counts, of which only some add to a shortcut."""
    return Place(glob, count, residual, why)


def unstated(glob: str, residual: int, why: str) -> Place:
    """Residual blocks that no number of the configuration counts."""
    return Place(glob, None, residual, why)


def no_blocks(why: str) -> list[Place]:
    """For a model without any shortcut around weights."""
    return [unstated("*", 0, why)]


def of_class(model: nn.Module, kind: str) -> list[Any]:
    """All modules of a class, by its name."""
    return [module for module in model.modules() if type(module).__name__ == kind]


def by_place(labels: Iterable[str], places: Sequence[Place]) -> tuple[list[int], list[str]]:
    """How many labels each place has, the first that matches taking it, and the labels that none has."""
    counts = [0] * len(places)
    elsewhere = []
    for label in labels:
        for index, place in enumerate(places):
            if fnmatch.fnmatchcase(label, place.glob):
                counts[index] += 1
                break
        else:
            elsewhere.append(label)
    return counts, elsewhere
