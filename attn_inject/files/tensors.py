"""Which tensors a file keeps, and which tensors of a file are accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from attn_inject.errors import FileError

# Buffers that change without training; the outputs of a CNN depend on them.
RUNNING_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def storable(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict on the CPU, each tensor with exactly the memory it needs; shared ones stay shared.

    torch saves the whole storage of a tensor: a slice of a large tensor would be saved too large, and an
    expanded one too small.

    Raises:
        FileError: A tensor has no values, or is of a kind that cannot be kept.
    """
    state = {name: _on_cpu(name, value) for name, value in state.items()}
    users = Counter(_memory(value) for value in state.values() if isinstance(value, torch.Tensor))
    return {
        name: _alone(value) if isinstance(value, torch.Tensor) and users[_memory(value)] == 1 else value
        for name, value in state.items()
    }


def attention_only(state: Mapping[str, Any], inserted: Iterable[str]) -> dict[str, Any]:
    """The tensors that change when only inserted modules are trained: theirs, and running statistics.

    Args:
        state: Of a modified model.
        inserted: The qualified names of its inserted modules.
    """
    prefixes = tuple(f"{name}." for name in inserted)
    return {
        name: value
        for name, value in state.items()
        if name.startswith(prefixes) or name.rpartition(".")[2] in RUNNING_STATISTICS
    }


def check_tensors(data: Any, sizes: Counter[int], path: str) -> None:
    """Refuse tensors that `storable` never makes: a few bytes can claim to be terabytes.

    Older releases of torch also accept a pickle that gives a tensor more memory than the file has, and read
    beyond it; this check refuses that before a value is read.

    Args:
        data: Dictionaries and lists with tensors in them.
        sizes: The number of entries by their size in bytes.
        path: The file.

    Raises:
        FileError: A tensor is of another kind, or larger than its entry.
    """
    tensors = [leaf for leaf in pytree.tree_leaves(data) if isinstance(leaf, torch.Tensor)]
    if all(map(_is_plain, tensors)):
        memories = {_memory(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}
        if not Counter(filter(None, memories.values())) - sizes:
            return
    raise FileError(f"{path} is refused: its tensors do not fit what it holds.", hint="It is damaged.")


def _is_plain(tensor: torch.Tensor) -> bool:
    return (
        type(tensor) is torch.Tensor
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and tensor.nbytes <= tensor.untyped_storage().nbytes()
    )


def _on_cpu(name: str, value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    if value.is_meta:
        raise FileError(
            f"{name} has no values: the model is on the meta device.", hint="Load weights before saving it."
        )
    value = value.detach().cpu()
    if type(value) is not torch.Tensor or value.layout != torch.strided or value.is_quantized:
        raise FileError(
            f"{name} is a {type(value).__name__} ({value.layout}), which a file cannot keep.",
            hint="Gather or dequantise the model's tensors before saving it.",
        )
    return value if value.nbytes <= value.untyped_storage().nbytes() else value.contiguous()


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _alone(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.nbytes == tensor.untyped_storage().nbytes() else tensor.clone()
