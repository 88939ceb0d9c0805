"""Keeping an operated model: save it, load it again, say what a file holds."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import torch
from torch import nn

from attn_inject import sources
from attn_inject.checkpoint import pt
from attn_inject.checkpoint.contents import Contents
from attn_inject.checkpoint.describe import describe
from attn_inject.checkpoint.digest import state_digest, structure
from attn_inject.checkpoint.load import load
from attn_inject.checkpoint.recipe import Recipe
from attn_inject.checks.forward import equal, largest_difference, run
from attn_inject.operation import Injected, require
from attn_inject.outcome import Check
from attn_inject.plan import to_dict
from attn_inject.surgery.inserted import recorded_splices
from attn_inject.surgery.removal import remove

__all__ = ["describe", "load", "save", "save_checked"]


def save(result: Injected, path: str | Path, *, force: bool = False) -> Path:
    """Save an operated model: plain data and tensors, never code.

    Args:
        result: What `inject` returned; its model may have been trained since.
        path: The file, `.pt`.
        force: Whether an existing file may be replaced.

    Raises:
        FileError: The file cannot be written; what was there before is still there.
    """
    pt.write(path, _contents(result, output=None), force=force)
    return Path(path)


def save_checked(result: Injected, path: str | Path, *, force: bool = False) -> Injected:
    """Save and, with full checks, reopen the file before it gets its name.

    Returns:
        The result with the file in its report.

    Raises:
        FileError: The file cannot be written.
        CheckFailedError: The reopened model gives another output; no file is left.
    """
    checks: list[Check] = []
    output = _output(result.model, result) if result.plan.check == "full" else None

    def reopen(written: Path) -> None:
        if output is None:
            return
        is_object = result.loaded.provenance.source == "object"
        base = remove(copy.deepcopy(result.model)) if is_object else None
        again = _output(load(written, base=base, trust=True, verify=False), result)
        same = equal(again, output)
        detail = "the reopened file gives the same output, bit for bit"
        checks.append(
            Check(
                name="file",
                passed=same,
                detail=detail if same else f"differs by {largest_difference(again, output):.3g}",
            )
        )
        require(checks)

    pt.write(path, _contents(result, output=output), force=force, before_publishing=reopen)
    report = dataclasses.replace(result.report, file=str(path), checks=(*result.report.checks, *checks))
    return dataclasses.replace(result, report=report)


def _contents(result: Injected, *, output: tuple[torch.Tensor, ...] | None) -> Contents:
    state = result.model.state_dict()
    witness = None if output is None else {"seed": result.plan.seed, "output": list(output)}
    return Contents(
        recipe=Recipe(
            provenance=result.loaded.provenance,
            splices=recorded_splices(result.model),
            plan=to_dict(result.plan),
            versions=sources.versions(),
        ),
        state_dict=state,
        digest=state_digest(state),
        structure=structure(result.model),
        witness=witness,
    )


def _output(model: nn.Module, result: Injected) -> tuple[torch.Tensor, ...]:
    """The output of one sample in evaluation mode; the model keeps its modes."""
    modes: dict[nn.Module, bool] = {module: module.training for module in model.modules()}
    try:
        return run(model, result.loaded.inputs, seed=result.plan.seed, batch_size=1)
    finally:
        for module, training in modes.items():
            module.training = training
