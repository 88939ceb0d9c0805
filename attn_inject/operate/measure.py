"""Figures that are measured, not counted: latency and the memory of a training step."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence

from torch import nn

from attn_inject.cost.figures import StatsRow, Timing
from attn_inject.cost.latency import Conditions, time_in_turn
from attn_inject.cost.training_memory import training_step_bytes
from attn_inject.errors import ModelError
from attn_inject.operate.edits import Edits
from attn_inject.operate.load_model import copied, load_model
from attn_inject.operate.model_names import Wanted
from attn_inject.operate.searched import SearchedModel
from attn_inject.surgery.apply import apply_edits

Result = tuple[StatsRow, Edits | None]  # None for the base, and for a row without figures


def timed(
    wanted: Wanted, searched: SearchedModel, rows: Sequence[Result], conditions: Conditions
) -> list[Result]:
    """The rows with latencies; each modified model is timed alternately with the base.

    Raises:
        ModelError: A model does not run under these conditions.
    """
    loaded = load_model(wanted.model)
    model = (copied(loaded) if isinstance(wanted.model, nn.Module) else loaded).model
    pristine = copy.deepcopy(model)
    base = conditions.place(model)
    before: list[Timing] = []
    after: list[Result] = []
    for row, result in rows:
        if result is not None:
            modified = copy.deepcopy(pristine)
            apply_edits(modified, result)
            of_base, latency = time_in_turn(
                base, conditions.place(modified), searched.loaded.inputs, conditions
            )
            before.append(of_base)
            row = dataclasses.replace(row, latency=latency)
        after.append((row, result))
    if not before:
        before.append(time_in_turn(base, base, searched.loaded.inputs, conditions)[0])
    usual = sorted(before, key=lambda timing: timing.median)[(len(before) - 1) // 2]
    return [
        (dataclasses.replace(row, latency=usual) if _is_base(row) else row, result) for row, result in after
    ]


def weighed(searched: SearchedModel, rows: Sequence[Result], conditions: Conditions) -> Iterator[Result]:
    """The rows with the peak memory of a training step of two samples or more; None if it is not known."""
    base = _bytes(searched, searched.loaded.model, conditions)
    for row, result in rows:
        peak = None
        if _is_base(row):
            peak = base
        elif result is not None:
            modified = copy.deepcopy(searched.loaded.model)
            apply_edits(modified, result)
            peak = _bytes(searched, modified, conditions)
        delta = None if peak is None or base is None else peak - base
        yield dataclasses.replace(row, memory=peak, delta_memory=delta), result


def _is_base(row: StatsRow) -> bool:
    return row.attention is None and row.reason is None


def _bytes(searched: SearchedModel, model: nn.Module, conditions: Conditions) -> int | None:
    """None for a model whose training step cannot run on shapes alone."""
    size = max(2, conditions.batch_size)
    try:
        return training_step_bytes(model, searched.loaded.inputs, batch_size=size, dtype=conditions.kind)
    except ModelError:
        return None
