"""Which architectures stand for all: the smallest of each module, and a drawn rest."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import timm
import torchvision

LARGEST = 100_000_000  # parameters; 400 MB
DRAWN = 60


def module_of(name: str) -> str:
    """The Python module that defines an architecture."""
    source, _, bare = name.partition("/")
    if source == "timm":
        return f"timm/{timm.models._registry._model_to_module[bare]}"
    return f"torchvision/{torchvision.models.get_model_builder(bare).__module__.rpartition('models.')[2]}"


def smallest(names: Iterable[str], params: Mapping[str, int]) -> list[str]:
    """The smallest architecture of each module; one whose size is unknown counts as large."""
    best: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (params.get(name, LARGEST), name)):
        best.setdefault(module_of(name), name)
    return sorted(best.values())


def for_proof(names: list[str], lines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The smallest of each module, one of every torchvision family, and 60 more drawn with a seed."""
    params = {name: line["params"] for name, line in lines.items() if "params" in line}
    small = [name for name in names if params.get(name, LARGEST) < LARGEST]
    chosen = smallest(small, params)
    rest = sorted(set(small) - set(chosen))
    drawn = random.Random(0).sample(rest, min(DRAWN, len(rest)))
    return sorted([*chosen, *drawn], key=lambda name: params.get(name, LARGEST))
