"""The settings of torch while a forward is traced for counting."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from attn_inject.models.thread_patch import replaced_here
from attn_inject.models.tracing_state import unrecorded


@contextmanager
def countable_operations() -> Iterator[None]:
    """No gradients, no work hidden in fused operations, each custom function traced as one operation."""
    fastpath = torch.backends.mha.get_fastpath_enabled()
    apply = torch.autograd.Function.__dict__["apply"]
    # Without gradients torch would run a whole attention layer as one operation.
    torch.backends.mha.set_fastpath_enabled(False)
    closed = replaced_here(torch.autograd.Function, "apply", classmethod(_apply_closed(apply)))
    try:
        # The kernel of fused attention depends on the machine; its plain products do not.
        with closed, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)


def _apply_closed(apply: Any) -> Callable[..., Any]:
    def closed(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return apply.__get__(None, _closed(cls))(*args, **kwargs)

    return closed


@functools.cache
def _closed(cls: Any) -> Any:
    """The function under the same name, without recording its inner operations, which have no rule."""
    forward = cls.forward

    def closed_forward(*args: Any, **kwargs: Any) -> Any:
        with unrecorded():
            return forward(*args, **kwargs)

    return type(cls.__name__, (cls,), {"forward": staticmethod(closed_forward), "__module__": cls.__module__})
