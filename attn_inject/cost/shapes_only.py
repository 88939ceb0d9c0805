"""A forward on shapes alone: no kernel computes and no memory is used, but a trace records everything.

fvcore counts by tracing, and `torch.jit.trace` fails on meta tensors: the Python code of their kernels reads
sizes, which are tensors while a trace is recorded. So the tensors stay on the CPU, and this mode replaces the
kernels. At that point the trace has recorded the operation and recording is off, so the meta device can
compute the shape and strides of the result.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from attn_inject.cost.elementwise import Tally

_C: Any = torch._C  # the switches of the tracer have no types
_TRACER = _C._parse_dispatch_key("Tracer")
_CONVOLUTION = torch.ops.aten.convolution.default
_RECORDED_CONVOLUTION = torch.ops.aten._convolution.default
# They read values, or change a tensor's storage.
_BEYOND_SHAPES = (
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.resize_.default,
)
_SMALLEST_BLOCK = (
    2**26
)  # bytes; large enough that the system maps it, and provides no memory before it is used

# Shapes that kernels returned, since the same few occur again and again. Meta tensors take no memory.
_ANSWERS: dict[Hashable, Any] = {}
_MANY_ANSWERS = 20_000


class ValuesNeededError(Exception):
    """The forward depends on a value that was never computed, so only a real run shows what it does."""


class ShapesOnly(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is active, an operation on an unknown tensor gives an unknown tensor of the right shape.

    A tensor is unknown if it is an input, a weight, or made from one. Others, such as the indices of a
    window, are computed as always.

    Args:
        weights: Parameters, each of them one number expanded to a shape.
        buffers: Buffers of the same kind; their values are known.
        inputs: Further tensors whose values are not known.
        tally: Receives every kernel.
        real: Whether to compute everything after all, and only keep the tally.

    Raises:
        ValuesNeededError: In the forward, when it reads an unknown value.
    """

    def __init__(
        self,
        weights: Iterable[torch.Tensor],
        buffers: Iterable[torch.Tensor],
        inputs: Iterable[torch.Tensor],
        tally: Tally,
        *,
        real: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._real = real
        self._tally = tally
        self._unknown = {_address(tensor) for tensor in weights}
        self._expanded = self._unknown | {_address(tensor) for tensor in buffers}
        self._unknown |= {_address(tensor) for tensor in inputs}
        # Every unknown tensor lies in one block: nothing is read or written there.
        self._block = torch.UntypedStorage(0)  # type: ignore[no-untyped-call]
        self._blocks: list[torch.UntypedStorage] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer one operation."""
        kwargs = kwargs or {}
        state = _C._get_tracing_state()
        if state is None:
            return self._answer(func, args, kwargs)
        with _tracer_admitted():
            if func is _CONVOLUTION:
                # A trace does not record this operation but the ones that it consists of.
                with self:
                    return _RECORDED_CONVOLUTION(*args, False, False, False, False)
            _C._set_tracing_state(None)
            try:
                return self._answer(func, args, kwargs)
            finally:
                _C._set_tracing_state(state)

    def _answer(self, func: Any, args: Any, kwargs: Any) -> Any:
        if _is_view(func):
            return func(*args, **kwargs)
        leaves, spec = pytree.tree_flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        if self._real or not any(_address(t) in self._unknown for t in tensors):
            result = func(*args, **kwargs)
        elif func in _BEYOND_SHAPES:
            raise ValuesNeededError(str(func))
        elif (written := _written(func, args, kwargs)) is not None:
            self._unknown.update(_address(t) for t in pytree.tree_leaves(written))
            result = written
        else:
            result = pytree.tree_map_only(torch.Tensor, self.unknown_like, self._shapes(func, leaves, spec))
        self._tally.add(func, [(t, self._stored(t)) for t in tensors], pytree.tree_leaves(result))
        return result

    def is_unknown(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor's values were never computed."""
        return not self._real and _address(tensor) in self._unknown

    def unknown_like(self, shape: torch.Tensor) -> torch.Tensor:
        """A tensor of the shape and strides of one on the meta device."""
        extent = sum((size - 1) * stride for size, stride in zip(shape.shape, shape.stride(), strict=True))
        needed = (extent + 1) * shape.element_size()
        if needed > self._block.nbytes():
            size = max(_SMALLEST_BLOCK, 2 * needed)
            self._block = torch.UntypedStorage(size)  # type: ignore[no-untyped-call]
            self._blocks.append(self._block)
            self._unknown.add(self._block.data_ptr())
        tensor = torch.empty(0, dtype=shape.dtype)
        return tensor.set_(self._block, 0, shape.shape, shape.stride())

    def _shapes(self, func: Any, leaves: list[Any], spec: Any) -> Any:
        """What the operation returns, on the meta device."""
        on_meta = [self._specimen(leaf) for leaf in leaves]
        key = (func, spec, tuple(_frozen(leaf) for leaf in on_meta))
        try:
            if key in _ANSWERS:
                return _ANSWERS[key]
        except TypeError:  # an argument that cannot be hashed
            return _ask(func, on_meta, spec)
        if len(_ANSWERS) > _MANY_ANSWERS:
            _ANSWERS.clear()
        return _ANSWERS.setdefault(key, _ask(func, on_meta, spec))

    def _specimen(self, leaf: Any) -> Any:
        if isinstance(leaf, torch.device):
            return torch.device("meta")
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if _address(leaf) in self._expanded:
            return torch.empty(leaf.shape, dtype=leaf.dtype, device="meta")
        return torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device="meta")

    def _stored(self, tensor: torch.Tensor) -> int:
        """How many stored elements are read: fewer than the shape says if the tensor is broadcast."""
        if _address(tensor) in self._expanded:
            return tensor.numel()
        stored = 1
        for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
            stored *= size if stride or not size else 1
        return stored


@contextmanager
def _tracer_admitted() -> Iterator[None]:
    """Within a kernel the tracer is suspended, and may be neither stopped nor used."""
    before = _C._dispatch_tls_is_dispatch_key_excluded(_TRACER)
    _C._dispatch_tls_set_dispatch_key_excluded(_TRACER, False)
    try:
        yield
    finally:
        _C._dispatch_tls_set_dispatch_key_excluded(_TRACER, before)


@functools.cache
def _is_view(func: Any) -> bool:
    return func.is_view or (torch.Tag.inplace_view in func.tags and func not in _BEYOND_SHAPES)


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _written(func: Any, args: Any, kwargs: Any) -> Any:
    """The arguments that an in-place operation writes to and returns; None if it makes something new."""
    returns = func._schema.returns
    if not returns or not all(item.alias_info is not None and item.alias_info.is_write for item in returns):
        return None
    given = zip(func._schema.arguments, args, strict=False)  # what has a default may be missing
    named = {argument.name: value for argument, value in given} | kwargs
    written = [
        named[argument.name]
        for argument in func._schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write and argument.name in named
    ]
    return written[0] if len(returns) == 1 else tuple(written)


def _ask(func: Any, on_meta: list[Any], spec: Any) -> Any:
    args, kwargs = pytree.tree_unflatten(on_meta, spec)
    try:
        return func(*args, **kwargs)
    except (RuntimeError, NotImplementedError) as error:
        raise ValuesNeededError(str(func)) from error


def _frozen(leaf: Any) -> Hashable:
    if isinstance(leaf, torch.Tensor):
        return tuple(leaf.shape), leaf.stride(), leaf.dtype
    return type(leaf), leaf
