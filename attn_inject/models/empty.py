"""Build an architecture without memory for its parameters and without initialising them.

Building resnet50 on the meta device is not enough: what a constructor computes, such as Swin's attention
masks and position indices, is a buffer that is often not in the state dict, and would be lost. So only
parameters go to meta, one by one, at the moment a module registers them. Three things keep constructors
that look at their own parameters working:

- a parameter on meta reports `cpu` as its device, so that buffers are made there;
- filling it does nothing;
- a computation with it yields a tensor on meta (hybrid ViTs run their backbone to learn its size).

A buffer or attribute that is on meta nevertheless depends on a parameter's values. In this case, and if the
constructor raises, the model is built normally and its parameters are emptied afterwards.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

_GET_DEVICE = torch.Tensor.device.__get__
_CPU = torch.device("cpu")
# Filling a tensor that has no values changes nothing; most of a build on meta is spent here.
_FILLS = frozenset(
    ["add_", "clamp_", "copy_", "div_", "erfinv_", "fill_", "mul_", "normal_", "sub_", "uniform_", "zero_"]
)
_MODULE_TABLES = frozenset(vars(nn.Module()))


def build_empty(build: Callable[[], nn.Module]) -> nn.Module:
    """The model that `build` makes, with every parameter on the meta device and every buffer real.

    The global random state is restored.

    Args:
        build: Called once, or twice if the architecture cannot be built without memory. It must not keep the
            model that it makes, which may have no values.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with _parameters_on_meta():
                model = build()
            if not _lost_values(model):
                return model
        except Exception:
            # If the request is wrong, the ordinary build gives the better error.
            pass
        return emptied(build())


def build_on_shapes(build: Callable[[], nn.Module]) -> nn.Module:
    """The model that `build` makes, with its buffers on the meta device, too, if possible.

    This is enough to find blocks and to count, and saves the memory of very large position indices.

    Args:
        build: As in `build_empty`.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build()
        except Exception:
            return build_empty(build)


def emptied(model: nn.Module) -> nn.Module:
    """A copy of a real model with its parameters on the meta device; `model` is not changed.

    A parameter of a special class stays as it is.
    """
    memo: dict[int, Any] = {id(parameter): _on_meta(parameter) for parameter in model.parameters()}
    return copy.deepcopy(model, memo)


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    builder = threading.get_ident()

    def register(module: nn.Module, name: str, parameter: nn.Parameter | None) -> Any:
        return _twin(parameter) if threading.get_ident() == builder else parameter

    handle = register_module_parameter_registration_hook(register)
    try:
        with _WithoutValues():
            yield
    finally:
        handle.remove()


class _WithoutValues(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = list(_tensors((*args, *kwargs.values())))
        if not any(tensor.is_meta for tensor in tensors):
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if tensors[0].is_meta:
            if func == _GET_DEVICE:
                return _CPU
            if name in _FILLS:
                return tensors[0]
        if all(tensor.is_meta for tensor in tensors):
            return func(*args, **kwargs)
        # torch itself lets many operations on the CPU silently read garbage from an operand on meta.
        if "out" in kwargs or (_writes(name) and not tensors[0].is_meta):
            raise RuntimeError(f"{name} would write values that do not exist")
        args, kwargs = pytree.tree_map_only(torch.Tensor, lambda t: t.to("meta"), (args, kwargs))
        return func(*args, **kwargs)


def _tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _writes(name: str) -> bool:
    """Whether a method of this name changes its first tensor: `add_`, `+=`, `x[...] =`, `x.data =`."""
    in_place = name.endswith("_") and not name.endswith("__")
    return in_place or name.startswith("__i") or name in ("__setitem__", "__set__")


def _twin(parameter: nn.Parameter | None) -> nn.Parameter | None:
    """The parameter's replacement: always the same one, so that a shared parameter stays shared."""
    if parameter is None:
        return None
    twin = getattr(parameter, "_attn_inject_twin", None)
    if not isinstance(twin, nn.Parameter):
        twin = _on_meta(parameter)
        parameter._attn_inject_twin = twin  # type: ignore[attr-defined]
    return twin


def _on_meta(parameter: nn.Parameter) -> nn.Parameter:
    if type(parameter) is not nn.Parameter or parameter.is_meta:
        return parameter
    empty = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad)
    empty.__dict__.update(parameter.__dict__)
    return empty


def _lost_values(model: nn.Module) -> bool:
    """Whether a tensor that is not a parameter has no values, or a parameter still has some."""
    if any(buffer.is_meta for buffer in model.buffers()):
        return True
    parameters = {id(parameter): parameter for parameter in model.parameters()}
    if not all(parameter.is_meta for parameter in parameters.values()):
        return True
    return any(
        isinstance(leaf, torch.Tensor) and leaf.is_meta and id(leaf) not in parameters
        for module in model.modules()
        for leaf in _plain_attributes(module)
    )


def _plain_attributes(module: nn.Module) -> Iterator[Any]:
    for name, value in vars(module).items():
        if name in _MODULE_TABLES:
            continue
        if isinstance(value, list | tuple | dict):
            yield from pytree.tree_leaves(value)
        else:
            yield value
