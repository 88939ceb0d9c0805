"""The digest of a model's tensors, and its structure, as a file keeps them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from attn_inject.models.digests import tensor_digests
from attn_inject.surgery.generated import own_class

# In evaluation they compute the same as the plain ones, as which a file is loaded.
_PLAIN = {"SyncBatchNorm": "BatchNorm2d", "SyncBatchNormAct": "BatchNormAct2d"}
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of a function in a repr: another one in every process


def state_digest(state: Mapping[str, Any]) -> str:
    """One digest over names, dtypes, shapes and bytes of a state dict, in any order."""
    hashed = hashlib.sha256()
    for name, digest in sorted(tensor_digests(state).items()):
        hashed.update(f"{name}\0{digest}\n".encode())
    return hashed.hexdigest()


def structure(model: nn.Module) -> dict[str, str]:
    """Every module by qualified name, as its class with its `extra_repr`, `ReLU(inplace=True)`.

    The class is the author's own, not the generated class.
    """
    return dict(_described(model))


def _described(model: nn.Module) -> Iterator[tuple[str, str]]:
    for name, module in model.named_modules(remove_duplicate=False):
        detail = _ADDRESS.sub("", module.extra_repr())
        kind = own_class(type(module)).__qualname__
        yield name, f"{_PLAIN.get(kind, kind)}({detail})"


def first_difference(kept: Mapping[str, str], built: Mapping[str, str]) -> str | None:
    """The first difference of two structures, or None.

    Args:
        kept: When the file was written.
        built: Now.
    """
    for name in kept:
        if name not in built:
            return f"{name} ({kept[name]}) is missing"
        if kept[name] != built[name]:
            return f"{name or 'the model itself'} was {kept[name]} and is now {built[name]}"
    extra = next((name for name in built if name not in kept), None)
    return None if extra is None else f"{extra} ({built[extra]}) is new"
