"""A generic position: parameters set so that no fault can hide, and set back afterwards.

Zero-initialised last norms make a residual branch vanish, and with it every fault in the branch. So before
anything is compared, each parameter of at most one dimension and each `gain` becomes U(0.5, 1.5).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from attn_inject.surgery.inserted import AttnInject


@contextmanager
def generic_position(model: nn.Module, seed: int) -> Iterator[None]:
    """Within the context the small parameters are random; afterwards all tensors and modes are as before.

    Base parameters get the same values whether or not attention modules were written in; `alpha` keeps
    its value.

    Args:
        model: Changed in place for the time of the context; buffers that a forward updates are kept too.
        seed: Of the random values.
    """
    chosen = {name: p for name, p in model.named_parameters() if _is_small(name, p)}
    kept = {name: p.detach().clone() for name, p in chosen.items()}
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    modes = {module: module.training for module in model.modules()}
    alphas = {id(m.alpha) for m in model.modules() if isinstance(m, AttnInject)}
    try:
        with torch.no_grad():
            for name, parameter in chosen.items():
                if id(parameter) not in alphas:
                    parameter.copy_(_uniform(name, parameter, seed))
        yield
    finally:
        with torch.no_grad():
            for name, parameter in chosen.items():
                parameter.copy_(kept[name])
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
        for module, training in modes.items():
            module.training = training


def _is_small(name: str, parameter: nn.Parameter) -> bool:
    return parameter.is_floating_point() and (parameter.ndim <= 1 or name.endswith("gain"))


def _uniform(name: str, parameter: nn.Parameter, seed: int) -> torch.Tensor:
    """U(0.5, 1.5), drawn from the name, so that other parameters do not shift it."""
    generator = torch.Generator().manual_seed(seed + sum(map(ord, name)))
    return torch.rand(parameter.shape, generator=generator) + 0.5
