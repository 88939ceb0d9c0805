"""The state of torch around an operation, which `with` blocks and decorators of a forward change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_DEVICES = ("cpu", "cuda")


def _autocast() -> Any:
    return tuple((torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in _DEVICES), (
        torch.is_autocast_cache_enabled()
    )


def _saving() -> Any:
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(False)
    return hooks is not None


def _attention() -> Any:
    cuda: Any = torch.backends.cuda
    return (
        cuda.flash_sdp_enabled(),
        cuda.mem_efficient_sdp_enabled(),
        cuda.math_sdp_enabled(),
        cuda.cudnn_sdp_enabled(),
        torch.backends.mha.get_fastpath_enabled(),
    )


def _kernels() -> Any:
    cudnn = torch.backends.cudnn
    return (
        cudnn.enabled,
        cudnn.benchmark,
        cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.backends.mkldnn.enabled,
    )


_STATES: dict[str, Callable[[], Any]] = {
    "whether gradients are recorded": lambda: (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    "autocast": _autocast,
    "how activations are saved (checkpointing)": _saving,
    "the default type": torch.get_default_dtype,
    "the kernels of attention": _attention,
    "the kernels": _kernels,
    "anomaly detection": torch.is_anomaly_enabled,
    "the modes of torch": torch._C._len_torch_function_stack,
}


def ambient() -> tuple[Any, ...]:
    """The current state, in the order of `_STATES`."""
    return tuple(state() for state in _STATES.values())


def difference(left: tuple[Any, ...], right: tuple[Any, ...]) -> str:
    """The first difference between two ambient states, or ""."""
    pairs = zip(_STATES, left, right, strict=True)
    return next((name for name, a, b in pairs if a != b), "")
