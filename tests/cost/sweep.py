"""Every architecture counted block by block and with equal blocks once: nothing may differ, in no module.

    python -m tests.cost.sweep [GLOB ...]

Takes some ten minutes of one core. Prints what differs, and how long either way took over all of them.
"""

from __future__ import annotations

import fnmatch
import sys
import time
import warnings

import torch

from attn_inject import models
from attn_inject.cost import count as counting
from attn_inject.models.clone import uncollected
from attn_inject.request import ModelRequest
from tests.sweeps.survey import every_architecture


def main() -> None:
    """Count and compare."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    globs = sys.argv[1:] or ["*"]
    names = [name for name in every_architecture() if any(fnmatch.fnmatch(name, glob) for glob in globs)]
    seconds, different, compared = [0.0, 0.0], 0, 0
    for name in names:
        try:
            loaded = models.load(ModelRequest(name=name), shapes_only=True)
            found = []
            for every_block in (False, True):
                began = time.process_time()
                found.append(_count(loaded, every_block=every_block))
                seconds[every_block] += time.process_time() - began
        except Exception as error:
            print(f"{name}: not counted: {type(error).__name__}: {error!s:.120}", flush=True)
            continue
        compared += 1
        if found[0] != found[1]:
            different += 1
            where = [key for key, value in found[1].by_module.items() if found[0].by_module[key] != value]
            print(f"{name} differs in {len(where)} modules, for one in {where[0]!r}", flush=True)
    print(f"{compared} architectures compared, {different} differ")
    print(f"{seconds[0]:.0f} s with equal blocks once, {seconds[1]:.0f} s with each")


def _count(loaded: models.LoadedModel, *, every_block: bool) -> counting.Counted:
    """As `count`, which falls back by itself."""
    with uncollected():
        if not every_block:
            return counting.count(loaded.model, loaded.inputs)
        arguments = loaded.inputs.make(batch_size=1)
        try:
            return counting._count_run(loaded.model, arguments, every_block=True)
        except counting.ValuesNeededError:
            return counting._count_run(loaded.model, arguments, every_block=True, real=True)


if __name__ == "__main__":
    main()
