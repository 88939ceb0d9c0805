"""Taking inserted modules out again: each block gets its own class back and loses its child."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from attn_inject.surgery.edit import Splice
from attn_inject.surgery.generated import PREFIX, base_of, is_generated


def remove(model: nn.Module) -> nn.Module:
    """Undo every operation on a model, in place.

    Args:
        model: An operated model; an untouched one is returned as it is.

    Returns:
        The same object; its blocks have their own classes and no `attn_inject` child.
    """
    for block in list(model.modules()):
        while is_generated(type(block)):
            _undo_last(block)
    return model


def undo(model: nn.Module, splices: Iterable[Splice]) -> None:
    """Undo the given edits, the last ones of their blocks, in place."""
    for splice in reversed(list(splices)):
        _undo_last(model.get_submodule(splice.name))


def _undo_last(block: nn.Module) -> None:
    names = [name for name in block._modules if name.startswith(PREFIX)]
    block.__class__ = base_of(type(block))
    delattr(block, names[-1])
