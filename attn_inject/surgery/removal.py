"""Taking inserted modules out again: each block gets its own class back and loses its child."""

from __future__ import annotations

from torch import nn

from attn_inject.surgery.generated import PREFIX, base_of, is_generated


def remove(model: nn.Module) -> nn.Module:
    """Undo every operation on a model, in place.

    Args:
        model: An operated model; an untouched one is returned as it is.

    Returns:
        The same object; its blocks have their own classes and no `attn_inject` child.
    """
    for module in list(model.modules()):
        while is_generated(type(module)):
            module.__class__ = base_of(type(module))
            last = max((n for n, _ in module.named_children() if n.startswith(PREFIX)), key=_number)
            delattr(module, last)
    return model


def _number(name: str) -> int:
    return int(name.removeprefix(PREFIX).lstrip("_") or 0)
