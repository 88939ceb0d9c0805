"""A library for the corpus's own tests: one model for each way in which an examination can end."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import torch
from torch import nn

from tests.corpus.case import Case, Place, layers, no_blocks, partly


class Block(nn.Module):
    """A residual block, or one without its shortcut."""

    def __init__(self, channels: int, *, shortcut: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(self.convolution(x)).relu()
        return x + y if self.shortcut else y


class Net(nn.Module):
    """Blocks in a row; `depth` is its configuration."""

    def __init__(self, *shortcuts: bool) -> None:
        super().__init__()
        self.depth = len(shortcuts)
        self.stem = nn.Conv2d(3, 16, 1)
        self.blocks = nn.Sequential(*(Block(16, shortcut=shortcut) for shortcut in shortcuts))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(self.stem(x))


class Talkative(Net):
    """Prints, and takes and gives a dictionary with random numbers of several generators in it."""

    def forward(self, x: torch.Tensor) -> dict[str, Any]:  # type: ignore[override]
        print("a line that nobody reads")
        return {"map": super().forward(x), "noise": [torch.rand(2), "text"]}


class Adding(nn.Module):
    """Adds in its own forward, where no module stands for a block."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 2
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.second = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.first, self.second):
            x = x + layer(x).relu()
        return x


class Dying(Net):
    """Ends its process."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print("a last word", flush=True)
        os._exit(3)


class Broken(Net):
    """Cannot run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("two lines\nof which one is shown")


def case(
    name: str, kind: type[Net], shortcuts: tuple[bool, ...], places: Any, *, keyword: bool = False
) -> Case:
    """A net with two images."""
    image = partial(torch.randn, 2, 3, 8, 8)
    return Case(name, partial(kind, *shortcuts), (lambda: {"x": image()}) if keyword else image, places)


CASES = [
    case("exact", Net, (True, True), lambda model: [layers("Block", model.depth)]),
    case("talkative", Talkative, (True,), lambda model: [layers("Block", model.depth)], keyword=True),
    case(
        "partly",
        Net,
        (True, False, True),
        lambda model: [partly("*:Block", model.depth, 2, "the second block has no shortcut")],
    ),
    case("nothing", Net, (False,), lambda _: no_blocks("no block has a shortcut")),
    Case(
        "refused",
        Adding,
        partial(torch.randn, 2, 3, 8, 8),
        lambda model: [Place("layers.*", model.depth, model.depth, refusal="(model):*:in-model")],
    ),
    case("misplaced", Net, (True, True), lambda _: [layers("Layer", 1)]),
    case("dying", Dying, (True,), lambda model: [layers("Block", model.depth)]),
    case("broken", Broken, (True,), lambda model: [layers("Block", model.depth)]),
]
