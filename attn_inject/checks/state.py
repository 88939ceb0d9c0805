"""What a forward may leave behind in a model, so that every run starts from the same state."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# `Module` keeps these itself; their contents are restored one by one.
_TABLES = frozenset({"_parameters", "_buffers", "_modules"})


class ModelState:
    """Buffers, plain attributes and modes of a model at one moment.

    Args:
        model: It is not changed, and its parameters are not kept.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = list(model.modules())
        # The objects as well as the values: a forward may replace a buffer by another tensor (ConViT).
        self._buffers = [
            (module, name, buffer, buffer.clone())
            for module in self._modules
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        self._attributes = [_attributes(module) for module in self._modules]

    def restore(self) -> None:
        """Give the model back what it had; a list or an object that was changed stays so."""
        with torch.no_grad():
            for module, name, buffer, value in self._buffers:
                module._buffers[name] = buffer.copy_(value)
        for module, before in zip(self._modules, self._attributes, strict=True):
            now = vars(module)
            for name in [name for name in now if name not in before and name not in _TABLES]:
                del now[name]
            now.update(before)


def _attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _TABLES}
