"""A generic position: parameter values at which no zero hides a fault, restored afterwards.

Zero-initialised last norms make a residual branch zero, and hide every fault in the branch; a
zero-initialised classifier hides everything before it. So before anything is compared, each parameter of at
most one dimension and each `gain` becomes U(0.5, 1.5), and every other tensor that is all zero U(-0.1, 0.1).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from attn_inject.checks.state import ModelState
from attn_inject.surgery.inserted import AttnInject


@contextmanager
def generic_position(model: nn.Module, seed: int) -> Iterator[ModelState]:
    """Within the context the small parameters are random; afterwards all tensors and modes are restored.

    Base parameters get the same values whether or not attention modules were inserted; `alpha` keeps
    its value. The context's value is the state from which every run starts.

    Args:
        model: Changed in place within the context; what forwards leave in it is restored, too.
        seed: Of the random values.
    """
    chosen = {name: p for name, p in model.named_parameters() if _is_changed(name, p)}
    kept = {name: p.detach().clone() for name, p in chosen.items()}
    state = ModelState(model)
    alphas = {id(m.alpha) for m in model.modules() if isinstance(m, AttnInject)}
    try:
        with torch.no_grad():
            for name, parameter in chosen.items():
                if id(parameter) not in alphas:
                    parameter.copy_(_uniform(name, parameter, seed))
        yield state
    finally:
        state.restore()
        with torch.no_grad():
            for name, parameter in chosen.items():
                parameter.copy_(kept[name])


def _is_changed(name: str, parameter: nn.Parameter) -> bool:
    return parameter.is_floating_point() and (_is_scale(name, parameter) or not bool(parameter.any()))


def _is_scale(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim <= 1 or name.endswith("gain")


def _uniform(name: str, parameter: nn.Parameter, seed: int) -> torch.Tensor:
    """Drawn from the name, so that other parameters do not change it."""
    generator = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()))
    uniform = torch.rand(parameter.shape, generator=generator)
    return uniform + 0.5 if _is_scale(name, parameter) else (uniform - 0.5) / 5
