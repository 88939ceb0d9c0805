"""Stages beside timm's own: every architecture as it is, and at output strides 8 and 16 if it takes one.

python -m tests.sweeps.stages ['resnet*' ...]    prints every one that differs, and the figures

timm's `feature_info` names the module at the end of each stage. Entries that have the same reduction at the
full stride are one stage. A site's stage is the first that ends at or behind it.
"""

from __future__ import annotations

import fnmatch
import sys
import warnings
from collections import Counter
from itertools import pairwise

import timm
import torch
from torch import nn

from tests.nets import build, find_in

STRIDES = (None, 8, 16)


def ends_of_stages(name: str, model: nn.Module) -> list[str]:
    """The names of the modules with which the stages of a timm model end."""
    named = entries(model)
    reductions = [entry["reduction"] for entry in entries(build(name, meta=True))]
    last = [first != second for first, second in pairwise(reductions)] + [True]
    return [entry["module"] for entry, is_last in zip(named, last, strict=True) if is_last]


def entries(model: nn.Module) -> list[dict]:
    """The rows of timm's `feature_info`, which is a list or an object."""
    info = model.feature_info
    return list(info if isinstance(info, list) else info.info)


def stages_by_ends(sites: list[str], ends: list[str], model: nn.Module) -> dict[str, int]:
    """The stage of each site, from 1, as the modules at the ends of stages divide them."""
    order = {name: place for place, (name, _) in enumerate(model.named_modules())}
    if unknown := [end for end in ends if end not in order]:
        raise AttributeError(f"feature_info names {unknown[0]}, which is not a module")
    closing = {end: max(p for n, p in order.items() if n == end or n.startswith(f"{end}.")) for end in ends}
    passed = {
        site: sum(closing[end] < order[site] or end.startswith(f"{site}.") for end in ends) for site in sites
    }
    numbers = {count: number for number, count in enumerate(sorted(set(passed.values())), 1)}
    return {site: numbers[count] for site, count in passed.items()}


def difference(name: str, stride: int | None) -> str:
    """How the stages of a timm model at an output stride differ from timm's; "" if they do not.

    Raises:
        TypeError: The architecture does not take an output stride.
    """
    model = build(name, meta=True, **({"output_stride": stride} if stride else {}))
    found = {item.site.name: item.site.stage for item in find_in(model).found}
    expected = stages_by_ends(list(found), ends_of_stages(name, model), model)
    wrong = [site for site in found if found[site] != expected[site]]
    if not wrong:
        return ""
    depths = [sorted(Counter(stages.values()).items()) for stages in (found, expected)]
    return (
        f"{wrong[0]}: {found[wrong[0]]} and not {expected[wrong[0]]}; stages {depths[0]}, timm's {depths[1]}"
    )


def main() -> None:
    """Compare every architecture, and print what differs."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    globs = sys.argv[1:] or ["*"]
    names = [name for name in timm.list_models() if any(fnmatch.fnmatchcase(name, glob) for glob in globs)]
    figures: Counter[tuple[int | None, str]] = Counter()
    for name in names:
        for stride in STRIDES:
            try:
                differs = difference(name, stride)
            except (TypeError, AssertionError, AttributeError) as error:
                figures[stride, f"not compared, {type(error).__name__}"] += 1
                continue
            figures[stride, "differ" if differs else "equal"] += 1
            if differs:
                print(f"{name} at output stride {stride}: {differs}", flush=True)
    print(f"{len(names)} architectures")
    for (stride, outcome), count in sorted(figures.items(), key=str):
        print(f"output stride {stride or 'as built'}: {count} {outcome}")


if __name__ == "__main__":
    main()
