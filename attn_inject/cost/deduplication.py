"""Equal blocks are traced once: an equal one, called with equal shapes, costs the same.

Tracing is most of the work of counting, and networks repeat their blocks. Modules are compared by everything
that they hold: classes, attributes, shapes of tensors, children. A module that cannot be compared is traced.

Only for a zero-storage copy, since forwards are replaced.
"""

from __future__ import annotations

import functools
import types
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from attn_inject.cost.elementwise import Tally
from attn_inject.cost.shapes_only import ShapesOnly
from attn_inject.models.tracing_state import unrecorded

_TABLES = frozenset(vars(nn.Module()))  # of parameters, children and hooks, most of them empty
# Blocks often differ only in a probability that is read in training.
_RANDOM = ("Dropout", "DropPath", "StochasticDepth")
_PROBABILITIES = ("p", "drop_prob")
_PLAIN = (type(None), bool, int, float, str)
# Values that several blocks may share without one of them changing what another does.
_CONSTANT = (*_PLAIN, torch.dtype, torch.device, type, types.FunctionType, types.BuiltinFunctionType)


class CalledAgainError(Exception):
    """The trace does not show the cost of one call of a block."""


class Deduplication:
    """While a model is traced, lets blocks return what equal ones returned.

    Args:
        model: The zero-storage copy; blocks that have an equal one get another forward.
        mode: The mode that it runs in, which makes the returned tensors.
        tally: Knows which module is running.

    Attributes:
        served: (name of a block that was not traced, name of the equal one that was), in order.

    Raises:
        CalledAgainError: In the forward; the model has to be counted without deduplication.
    """

    def __init__(self, model: nn.Module, mode: ShapesOnly, tally: Tally) -> None:
        self.served: list[tuple[str, str]] = []
        self._mode, self._tally = mode, tally
        self._ran: set[str] = set()
        self._running: list[str] = []
        self._unfit: set[str] = set()
        self._serving: set[str] = set()
        self._returned: dict[Hashable, tuple[str, torch.Tensor]] = {}
        repeated = {name: (module, key) for name, module, key in _repeated(model)}
        for name, module in model.named_modules():
            owners = [owner for owner in above(name) if owner in repeated]
            if owners:
                module.register_forward_pre_hook(functools.partial(self._starts, name, owners))
        for name, (module, key) in repeated.items():
            own = module.forward
            module.forward = functools.wraps(own)(functools.partial(self._forward, name, module, key, own))

    @property
    def firsts(self) -> frozenset[str]:
        """The blocks that were replaced by equal ones."""
        return frozenset(self._serving)

    def _starts(self, name: str, owners: list[str], *_: Any) -> None:
        """Work within a block, but outside its own call, is added to the call's cost."""
        outside = [owner for owner in owners if owner not in self._running]
        if outside:
            self._unfit.update(outside)
            self._runs_again(name)

    def _forward(
        self,
        name: str,
        module: nn.Module,
        key: int,
        forward: Callable[..., Any],
        /,  # the call may have keywords of these names
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        self._running.append(name)
        try:
            if name in self._ran:
                self._runs_again(name)
            elif self._tally.scope == name:  # else called without hooks: its parent's work
                self._ran.add(name)
                return self._first_run(name, module, key, forward, *args, **kwargs)
            return forward(*args, **kwargs)
        finally:
            self._running.pop()

    def _first_run(
        self,
        name: str,
        module: nn.Module,
        key: int,
        forward: Callable[..., Any],
        /,  # the call may have keywords of these names
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        given = (*args, *kwargs.values())
        call = self._call(key, given, tuple(kwargs))
        if call in self._returned:
            first, shape = self._returned[call]
            self._serving.add(first)
            self.served.append((name, first))
            tensors = [x for x in given if isinstance(x, torch.Tensor)]
            return _Deduplicated.apply(functools.partial(self._mode.unknown_like, shape), *tensors)
        before = _held(module)
        output = forward(*args, **kwargs)
        leaves_nothing = _is_alike(before, _held(module)) and name not in self._unfit
        is_known = type(output) is not torch.Tensor or not self._mode.is_unknown(output)
        if call is not None and leaves_nothing and not is_known:
            self._returned[call] = name, _on_meta(output)
        return output

    def _runs_again(self, name: str) -> None:
        """A block that holds a module which ran twice cannot replace others."""
        if any(is_within(name, first) for first in self._serving):
            raise CalledAgainError(name)
        self._returned = {
            call: found for call, found in self._returned.items() if not is_within(name, found[0])
        }

    def _call(self, key: int, given: tuple[Any, ...], names: tuple[str, ...]) -> Hashable:
        """What two calls must have in common; None if values could make a difference."""
        tensors = [x for x in given if type(x) is torch.Tensor and self._mode.is_unknown(x)]
        plain = [x for x in given if isinstance(x, _PLAIN)]
        if not tensors or len(tensors) + len(plain) < len(given):
            return None
        with unrecorded():
            shapes = tuple((x.shape, x.stride(), x.dtype) for x in tensors)
        same = tuple(next(i for i, other in enumerate(tensors) if other is x) for x in tensors)
        return key, names, tuple(type(x) for x in given), shapes, same, tuple(plain)


class _Deduplicated(torch.autograd.Function):
    """One node of the trace, so that the trace keeps what made the block's input."""

    @staticmethod
    def forward(ctx: Any, make: Callable[[], torch.Tensor], *args: torch.Tensor) -> torch.Tensor:
        with _disable_current_modes():
            return make()


def _on_meta(tensor: torch.Tensor) -> torch.Tensor:
    with unrecorded(), _disable_current_modes():
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def above(name: str) -> list[str]:
    """The modules that hold one, by qualified name, the model itself first."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts))]


def _held(module: nn.Module) -> list[tuple[Any, int]]:
    """Everything that a module and its children hold, and how much of it."""
    return [
        (value, len(value) if isinstance(value, list | dict | set) else 0)
        for part in module.modules()
        for value in vars(part).values()
    ]


def _is_alike(before: list[tuple[Any, int]], after: list[tuple[Any, int]]) -> bool:
    return len(before) == len(after) and all(
        old is new and size == now for (old, size), (new, now) in zip(before, after, strict=True)
    )


def is_within(name: str, other: str) -> bool:
    """Whether a module, by qualified name, is another one or in it."""
    return f"{name}.".startswith(f"{other}.")


def is_deduplicated(node: Any) -> bool:
    """Whether a node of a trace comes from a block that was not traced."""
    return bool(node.kind() == "prim::PythonOp" and node.pyname() == _Deduplicated.__name__)


def _repeated(model: nn.Module) -> Iterable[tuple[str, nn.Module, int]]:
    """Every module with children that has an equal one, by name, and what both have in common."""
    names = Counter(module for _, module in model.named_modules(remove_duplicate=False))
    kinds: dict[Hashable, int] = {}
    keys: dict[nn.Module, int | None] = {}

    def key_of(module: nn.Module) -> int | None:
        if module not in keys:
            children = tuple((name, key_of(child)) for name, child in module.named_children())
            known = names[module] == 1 and all(key is not None for _, key in children)
            keys[module] = _key(module, children, kinds) if known else None
        return keys[module]

    key_of(model)
    frequent = {key for key, count in Counter(keys.values()).items() if key is not None and count > 1}
    for name, module in model.named_modules():
        key = keys[module]
        if key in frequent and key is not None and name and any(module.children()):
            yield name, module, key


def _key(module: nn.Module, children: Hashable, kinds: dict[Hashable, int]) -> int | None:
    """A number that equal modules share; None if this one cannot be compared."""
    left_out = {"_modules", *(_PROBABILITIES if type(module).__name__ in _RANDOM else ())}
    try:
        own = tuple(
            (name, fingerprint(value, _CONSTANT))
            for name, value in vars(module).items()
            if name not in left_out and (name not in _TABLES or value)
        )
        return kinds.setdefault((type(module), own, children), len(kinds))
    except (TypeError, RecursionError):  # it holds something unhashable, or itself
        return None


def fingerprint(value: Any, known: tuple[type, ...] = (object,)) -> Hashable:
    """A value that two modules share only if they compute the same; hashing it fails if that is unknown.

    Args:
        value: What a module holds.
        known: What it may consist of.

    Raises:
        TypeError: It consists of something else.
    """
    if isinstance(value, nn.Module):
        return type(value), fingerprint(vars(value), known)
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.dtype
    if isinstance(value, Mapping):
        return tuple((key, fingerprint(item, known)) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return type(value), tuple(fingerprint(item, known) for item in value)
    if not isinstance(value, known):
        raise TypeError(type(value))
    return type(value), value
