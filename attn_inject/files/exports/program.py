"""`.pt2`: the program that `torch.export` makes of a model; plain torch opens and runs it.

Legend: N batch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn
from torch.utils import _pytree as pytree

from attn_inject.errors import ModelError
from attn_inject.models.inputs import Arguments
from attn_inject.models.library_errors import one_line

FIXED_BATCH = "With a batch of fixed size it may work: --batch-size N."


def export(model: nn.Module, arguments: Arguments, *, dynamic: bool) -> torch.export.ExportedProgram:
    """The program of a model in eval mode.

    Args:
        model: Any module on the CPU.
        arguments: Of one forward; the first dimension of every tensor is the batch.
        dynamic: Whether the batch may have any size.

    Raises:
        ModelError: The model cannot be exported; the message says why.
    """
    args, kwargs = arguments
    try:
        # If it fails, torch prints the whole graph to stderr.
        with redirect_stderr(StringIO()):
            return torch.export.export(model, args, kwargs, dynamic_shapes=batch_shapes(arguments, dynamic))
    except Exception as error:  # torch.export raises anything, depending on a model's code
        raise unexportable("torch.export", error, dynamic=dynamic) from error


def batch_shapes(arguments: Arguments, dynamic: bool) -> Any:
    """The `dynamic_shapes` of torch's exporters: the first dimension of every tensor, or None."""
    if not dynamic:
        return None
    args, kwargs = arguments
    batch = torch.export.Dim("batch")

    def free(value: Any) -> Any:
        return {0: batch} if isinstance(value, torch.Tensor) and value.ndim else None

    shapes = tuple(pytree.tree_map(free, arg) for arg in args)
    named = {name: pytree.tree_map(free, value) for name, value in kwargs.items()}
    return (*shapes, named) if named else shapes


def write(program: torch.export.ExportedProgram, file: BinaryIO, record: Mapping[str, str]) -> None:
    """Write a program into an open file, with a record as an extra file if there is one."""
    extra = {"attn_inject.json": json.dumps(record)} if record else None
    with _quiet():
        torch.export.save(program, file, extra_files=extra)


def run(path: Path, arguments: Arguments) -> list[torch.Tensor]:
    """The outputs of a written program."""
    with path.open("rb") as file, _quiet():
        program = torch.export.load(file)
    args, kwargs = arguments
    with torch.no_grad():
        return tensors_of(program.module()(*args, **kwargs))


def tensors_of(output: Any) -> list[torch.Tensor]:
    """The tensors of an output, in order."""
    return [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, torch.Tensor)]


def unexportable(by: str, error: Exception, *, dynamic: bool) -> ModelError:
    """For a model that an exporter refuses."""
    hint = FIXED_BATCH if dynamic else ""
    if "DataDependent" in type(error).__name__ or "data-dependent" in str(error):
        hint = "Its control flow depends on values, as in detectors. Export a part of it."
    return ModelError(f"{by} cannot export this model: {one_line(error)}", hint=hint)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide torch's warning that an open file is not a path that ends in .pt2."""
    logger = logging.getLogger("torch.export.pt2_archive._package")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
