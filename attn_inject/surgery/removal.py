"""Removes inserted modules: each block gets its own class back and loses its child."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from torch import nn

from attn_inject.errors import FitError
from attn_inject.surgery.apply import apply_edits
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.generated import PREFIX, base_of, is_generated
from attn_inject.surgery.inserted import AttnInject, inserted_modules
from attn_inject.surgery.seen_map import forget


def remove(model: nn.Module) -> nn.Module:
    """Undo every modification of a model, in place.

    Args:
        model: A modified model; an untouched one is returned unchanged.

    Returns:
        The same object; its blocks have their own classes and no `attn_inject` child.

    Raises:
        FitError: A module was replaced, and its weights are not known; nothing is changed.
    """
    for name, inserted in inserted_modules(model).items():
        if inserted.replaced is not None and not inserted.replaced.is_whole:
            raise FitError(
                f"{name} replaces a module whose weights were not kept, so it cannot be removed.",
                hint="Restore with the weights of the untouched model, or save with --keep-replaced.",
            )
    for block in list(model.modules()):
        while is_generated(type(block)):
            _undo_last(block)
    forget(model, set())
    return model


def undo(model: nn.Module, edits: Iterable[Edit]) -> None:
    """Undo the given edits, the last ones of their blocks, in place."""
    for edit in reversed(list(edits)):
        _undo_last(model.get_submodule(edit.name))
    grids = (module.grid for module in inserted_modules(model).values())
    forget(model, {id(grid.seen) for grid in grids if grid is not None})


def _undo_last(block: nn.Module) -> None:
    name = [name for name in block._modules if name.startswith(PREFIX)][-1]
    inserted = block._modules[name]
    block.__class__ = base_of(type(block))
    delattr(block, name)
    if isinstance(inserted, AttnInject) and inserted.replaced is not None:
        block._parameters.update(inserted.replaced.parameters)
        block._buffers.update(inserted.replaced.buffers)
        block._modules.update(inserted.replaced.modules)


def take_out(model: nn.Module, names: Collection[str]) -> None:
    """Remove some inserted modules, in place; the others stay with their tensors.

    Args:
        model: A modified model.
        names: Of the inserted modules, `layer1.0.attn_inject`.

    Raises:
        FitError: One of them replaces a layer, or a later modification of its block needs it. Then blocks may
            be half done: pass a copy.
    """
    owners = dict.fromkeys(name.rpartition(".")[0] for name in names)
    for owner in owners:
        block = model.get_submodule(owner)
        later: list[tuple[str, AttnInject]] = []
        while any(f"{owner}.{child}" in names for child in block._modules):
            child, inserted = [(n, m) for n, m in block.named_children() if n.startswith(PREFIX)][-1]
            if not isinstance(inserted, AttnInject) or inserted.edit is None or inserted.edit.replaces:
                raise FitError(
                    f"{owner}.{child} replaces a layer, so it cannot be taken out.",
                    hint="restore takes everything out, with the weights of the base.",
                )
            _undo_last(block)
            if f"{owner}.{child}" not in names:
                later.append((child, inserted))
        for child, inserted in reversed(later):
            edit = inserted.edit
            assert edit is not None
            apply_edits(model, [edit.at(owner)])
            block._modules[child] = inserted
    grids = (module.grid for module in inserted_modules(model).values())
    forget(model, {id(grid.seen) for grid in grids if grid is not None})
