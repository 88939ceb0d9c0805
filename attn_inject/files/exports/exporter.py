"""Exports a model: make the program, write it beside its target, run it, compare, and only then rename it."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from attn_inject.errors import ModelError
from attn_inject.files.atomic import atomic_write
from attn_inject.files.exports import agreement, onnx, program
from attn_inject.files.exports.agreement import Agreement
from attn_inject.models.inputs import Arguments, InputSpec
from attn_inject.models.library_errors import one_line

SUFFIXES = (".pt2", ".onnx")
BATCH_SIZE = 2  # torch.export treats a batch of one as a constant
OTHER_BATCH_SIZE = 3


def export(
    model: nn.Module,
    out: str | os.PathLike[str],
    inputs: InputSpec,
    *,
    batch_size: int | None = None,
    seed: int = 0,
    force: bool = False,
    record: Mapping[str, str] | None = None,
) -> Agreement:
    """Export a model to `.pt2` or `.onnx`, after comparing the outputs of the file and the model.

    Args:
        model: On the CPU; it is run in eval mode, and its modes are restored.
        out: The file; its suffix determines the format.
        inputs: How to call the model.
        batch_size: The only batch size that the file takes; None allows any.
        seed: Of the inputs for the comparison.
        force: Whether an existing file may be replaced.
        record: Keys and texts that the file keeps beside the model; see `record.record_of`.

    Raises:
        ModelError: The model cannot be exported, or the exported one does not run.
        CheckFailedError: The exported model computes something else; no file is left.
        MissingExtraError: The extra `onnx` is not installed.
        FileError: The file cannot be written.
    """
    dynamic = batch_size is None and inputs.example is None
    first = inputs.make(batch_size or BATCH_SIZE, seed=seed)
    arguments = [first, inputs.make(OTHER_BATCH_SIZE, seed=seed + 1)] if dynamic else [first]
    found: list[Agreement] = []

    def check(written: Path) -> None:
        found.append(_compared(model, written, arguments, onnx if is_onnx else program))

    is_onnx = str(out).endswith(".onnx")
    modes: dict[nn.Module, bool] = {module: module.training for module in model.modules()}
    model.eval()
    try:
        if is_onnx:
            made: Any = onnx.export(model, first, dynamic=dynamic, record=record)
        else:
            made = program.export(model, first, dynamic=dynamic)
        with atomic_write(out, force=force, before_publishing=check) as file:
            if is_onnx:
                file.write(made)
            else:
                program.write(made, file, record or {})
    finally:
        for module, training in modes.items():
            module.training = training
    return found[0]


def _compared(model: nn.Module, written: Path, batches: list[Arguments], runner: Any) -> Agreement:
    """Compare a written program with the model.

    Raises:
        CheckFailedError: It computes something else.
        ModelError: It does not run.
    """
    own = _joined([_outputs(model, batch) for batch in batches])
    try:
        exported = _joined([runner.run(written, batch) for batch in batches])
    except Exception as error:
        hint = program.FIXED_BATCH if len(batches) > 1 else ""
        raise ModelError(f"The exported model does not run: {one_line(error)}", hint=hint) from error
    samples = sum(tensors[0].shape[0] for tensors in map(program.tensors_of, batches))
    found = agreement.compare(own, exported, samples)
    if not agreement.is_close(found):
        exact = _in_double(model, batches)
        compared = [agreement.compare(exact, outputs, samples) for outputs in (own, exported)]
        if not agreement.is_as_exact(*compared):
            raise agreement.differs(found)
    return found


def _outputs(model: nn.Module, batch: Arguments) -> list[torch.Tensor]:
    args, kwargs = batch
    with torch.no_grad():
        return program.tensors_of(model(*args, **kwargs))


def _in_double(model: nn.Module, batches: list[Arguments]) -> list[torch.Tensor]:
    exact = copy.deepcopy(model).double()
    moved = [
        pytree.tree_map_only(torch.Tensor, lambda t: t.double() if t.is_floating_point() else t, batch)
        for batch in batches
    ]
    try:
        return _joined([_outputs(exact, batch) for batch in moved])
    except Exception as error:  # a model's own code may require a dtype
        raise ModelError(f"The model does not run in double precision: {one_line(error)}") from error


def _joined(runs: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    """The outputs of several batches as those of one."""
    return [torch.cat([_row(tensor) for tensor in outputs]) for outputs in zip(*runs, strict=True)]


def _row(tensor: torch.Tensor) -> torch.Tensor:
    """In double precision, and with a first dimension."""
    return (tensor if tensor.ndim else tensor[None]).detach().double()
