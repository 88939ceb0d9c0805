"""Save a modified model and load it again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import nn

from attn_inject import models
from attn_inject.checks.forward import equal, largest_difference, run
from attn_inject.display.numbers import storage
from attn_inject.errors import FitError
from attn_inject.files import formats, loading
from attn_inject.files.contents import Contents
from attn_inject.files.describe import describe
from attn_inject.files.recipe import Recipe
from attn_inject.files.restore import restore
from attn_inject.files.structure_digest import state_digest, structure
from attn_inject.files.tensors import attention_only
from attn_inject.files.verified_origin import verified_origin
from attn_inject.models.clone import deep_copy
from attn_inject.operate.containment import contained
from attn_inject.operate.edits import require
from attn_inject.operate.injected import Injected
from attn_inject.operate.load_model import load_model
from attn_inject.request import ModelRequest, check_kept
from attn_inject.results import Check
from attn_inject.surgery.inserted import inserted_modules, recorded_edits
from attn_inject.surgery.origin import Origin, origin_of
from attn_inject.surgery.removal import remove

__all__ = ["describe", "load", "restore", "save", "save_checked"]


@contained()
def load(
    path: str | Path,
    *,
    base: nn.Module | str | ModelRequest | None = None,
    trust: bool = False,
    verify: bool = True,
) -> nn.Module:
    """The modified model that a file holds, in eval mode, on the CPU.

    The recorded edits are repeated; blocks are not searched again. A verified model owns its memory. An
    unverified one leaves its tensors in the file until they are used: faster, and safe to train, but the file
    must not be truncated in place meanwhile (attn-inject never does that). The global random state is
    restored.

    Args:
        path: A file that attn-inject wrote, `.pt` or `.safetensors`.
        base: For a model that was passed as an object: the untouched architecture, whose weights are
            not used. For a file that holds attention only: the base with its weights; the result is a copy
            of it, on its device. A module is not changed; a name or request is built.
        trust: Whether code that the file names, `package.module:...`, may run.
        verify: Whether to compare the tensors' digest, and that of the base.

    Raises:
        FileError: The file is unreadable, damaged, foreign or untrusted, needs `base`, or the
            architecture built now is another one; the first differing module is named.
        UnknownNameError: The model or an attention module is not installed.
        ModelError: The architecture cannot be built.
    """
    built = base is not None and not isinstance(base, nn.Module)
    module = load_model(base).model if isinstance(base, str | ModelRequest) else base
    return loading.load(path, base=module, trust=trust, verify=verify, inplace=built)


@contained()
def save(
    model: nn.Module | Injected,
    path: str | Path,
    *,
    only: str = "all",
    keep_replaced: bool = False,
    force: bool = False,
) -> Path:
    """Save a modified model: plain data and tensors, never code.

    Args:
        model: A modified model from `inject`, `load` or a copy, trained or not, also inside DataParallel,
            DistributedDataParallel or torch.compile; or the result of `inject`.
        path: The file: `.safetensors` by that suffix, else `.pt`.
        only: `all`, or `attention` for the inserted modules and all running statistics of batch norms;
            such a file loads onto the base that the model was made from, `load(path, base=model)`.
        keep_replaced: Whether the tensors of replaced modules are saved, too, so that the file can be
            restored without the base.
        force: Whether an existing file may be replaced.

    Raises:
        FitError: The model has no inserted modules.
        FileError: The file cannot be written; an existing file is unchanged.
    """
    check_kept(only)
    model = unwrapped(model.model if isinstance(model, Injected) else model)
    if not inserted_modules(model):
        raise FitError(
            f"This {type(model).__name__} has no inserted attention modules.",
            hint="Save its own weights with torch.save(model.state_dict(), FILE).",
        )
    contents = _contents(model, since(verified_origin(model)), only, keep_replaced=keep_replaced)
    formats.write(path, contents, force=force)
    return Path(path)


def since(origin: Origin) -> Origin:
    """The origin of a model that may have been trained or changed since it was modified."""
    weights = origin.provenance.weights
    if weights is None:
        return origin
    changed = dataclasses.replace(weights, changed=True)
    return dataclasses.replace(origin, provenance=dataclasses.replace(origin.provenance, weights=changed))


def save_checked(
    result: Injected,
    path: str | Path,
    *,
    only: str = "all",
    keep_replaced: bool = False,
    force: bool = False,
) -> Injected:
    """Save and, with full checks, reopen the file before it is renamed into place.

    Returns:
        The result with the file in its report.

    Raises:
        FileError: The file cannot be written.
        CheckFailedError: The reopened model gives another output; nothing is saved.
    """
    checks: list[Check] = []
    output = _output(result.model, result) if result.plan.check == "full" else None

    @contained()
    def reopen(written: Path) -> None:
        if output is None:
            return
        needs_base = only == "attention" or result.loaded.provenance.source == "object"
        base = remove(deep_copy(result.model)) if needs_base else None
        again = _output(loading.load(written, base=base, trust=True, verify=False), result)
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

    origin = origin_of(result.model)
    assert origin is not None
    contents = _contents(
        result.model, origin, only, keep_replaced=keep_replaced, seed=result.plan.seed, output=output
    )
    formats.write(path, contents, force=force, before_publishing=reopen)
    report = dataclasses.replace(
        result.report,
        file=str(path),
        checks=(*result.report.checks, *checks),
        notes=(*result.report.notes, *_sizes(result.model, path, only)),
    )
    return dataclasses.replace(result, report=report)


def _sizes(model: nn.Module, path: str | Path, only: str) -> tuple[str, ...]:
    """A note on how much space a file without the base saves."""
    if only == "all":
        return ()
    whole = sum(t.nbytes for t in model.state_dict().values() if isinstance(t, torch.Tensor))
    kept = Path(path).stat().st_size
    return (f"{path} takes {storage(kept)}; the tensors of the whole model take {storage(whole)}.",)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside a wrapper for several devices or compilation."""
    inner = getattr(model, "_orig_mod", None)  # torch.compile's
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = model.module
    return unwrapped(inner) if isinstance(inner, nn.Module) else model


def _contents(
    model: nn.Module,
    origin: Origin,
    only: str,
    *,
    keep_replaced: bool,
    seed: int = 0,
    output: tuple[torch.Tensor, ...] | None = None,
) -> Contents:
    state = model.state_dict()
    kept = attention_only(state, inserted_modules(model)) if only == "attention" else state
    replaced = _replaced(model) if keep_replaced else {}
    return Contents(
        recipe=Recipe(
            provenance=origin.provenance,
            edits=recorded_edits(model),
            plans=origin.plans,
            versions=models.versions(),
        ),
        state_dict=kept,
        replaced=replaced,
        digest=state_digest({**kept, **replaced}),
        structure=structure(model),
        reference=None if output is None else {"seed": seed, "output": list(output)},
        whole=state_digest(state) if only == "attention" else None,
    )


def _replaced(model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of replaced modules, by their names in the base.

    Raises:
        FitError: The model does not have them any more.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, inserted in inserted_modules(model).items():
        if inserted.replaced is None or inserted.edit is None:
            continue
        if not inserted.replaced.is_whole:
            raise FitError(
                f"{name} replaces a module whose weights were not kept when the model was saved.",
                hint="Leave out keep_replaced; restoring will need --base FILE.",
            )
        owner = name.rpartition(".")[0]
        kept = inserted.replaced.state()
        tensors |= {f"{owner}.{key}": kept[key] for key in inserted.edit.removed if key in kept}
    return tensors


def _output(model: nn.Module, result: Injected) -> tuple[torch.Tensor, ...]:
    """The output of one sample in evaluation mode; the model's modes are restored."""
    modes: dict[nn.Module, bool] = {module: module.training for module in model.modules()}
    try:
        return run(model, result.loaded.inputs, seed=result.plan.seed, batch_size=1)
    finally:
        for module, training in modes.items():
            module.training = training
