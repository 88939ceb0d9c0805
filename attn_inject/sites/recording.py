"""The recorded run: one forward on meta tensors that records every operation of every module.

A graph of the whole model is not needed, and for many models not possible. What is needed, for each module,
is what its *own* forward did between its inputs and its outputs, with its children as closed boxes. So every
call of a module is a `ModuleCall`, and every tensor in it a `Node` that knows which inputs and which weighted
children it came through. Control flow of any kind has been executed by then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from attn_inject.errors import ModelError
from attn_inject.models.clone import clone_with, to_meta, uncollected
from attn_inject.models.inputs import ANOTHER_INPUT, InputSpec, dtype_of, on_one_sample
from attn_inject.sites.grids import NONE, Grids, Source, carried, of_map, of_samples, of_unfolded
from attn_inject.sites.known_shapes import known_shape
from attn_inject.sites.known_zeros import fill, known_zeros, zeros
from attn_inject.sites.nodes import ModuleCall, Node, detail_of
from attn_inject.sites.order import Order
from attn_inject.sites.sums import FOREACH, each, inner_sums, joined, operands, operands_of_call, written
from attn_inject.sites.tensors import has_weight, is_torchs, on_meta, tensors_of

# The results of reading a tensor's attributes, which are most of what a forward reads.
_NO_TENSORS = (torch.Size, int, float, bool, str, torch.dtype, torch.device, type(None))
_MAKES_MAPS = (nn.Conv2d, nn.ConvTranspose2d, nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle)
_PARTIAL_WRITES = frozenset({"__setitem__", "copy_", "fill_", "index_put_", "masked_fill_", "scatter_"})


@dataclass(frozen=True)
class Recording:
    """Every call of every module that has children, in the order in which they began.

    Attributes:
        model: The meta copy that ran.
        calls: The model's own call first.
        ran: Names of all modules that were called, or whose parameters an operation used.
        maps: (H, W) of every rank-4 tensor that a module returned, with the last childless module that
            returned it.
        image_size: (H, W) of the input in pixels, or None.
        uneven: Names of modules that made maps of several sizes.
        ordered: Names of modules whose tokens attend only to those before them.
    """

    model: nn.Module
    calls: tuple[ModuleCall, ...]
    ran: frozenset[str]
    maps: dict[tuple[int, int], str]
    image_size: tuple[int, int] | None
    uneven: frozenset[str] = frozenset()
    ordered: frozenset[str] = frozenset()


def record(model: nn.Module, inputs: InputSpec, *, keep: tuple[str, ...] = ()) -> Recording:
    """Run `model` once on meta tensors and record what every module did.

    Args:
        model: Any module; it is copied to meta and left untouched.
        inputs: How to call it.
        keep: Names of childless modules whose calls are recorded, too, because a user named them.

    Raises:
        ModelError: The model cannot be copied or refuses the input.
    """
    with uncollected():
        return on_one_sample(lambda one: _recorded(model, one, keep), inputs)


def _recorded(model: nn.Module, inputs: InputSpec, keep: tuple[str, ...]) -> Recording:
    try:
        return _record(to_meta, model, inputs, "meta", keep)
    except _NoValueError:
        # Detectors choose boxes by value, and other models read sizes from tensors.
        return _record(_zeros, model, inputs, "cpu", keep)


def _record(
    copied: Callable[[nn.Module], nn.Module],
    model: nn.Module,
    inputs: InputSpec,
    device: str,
    keep: tuple[str, ...],
) -> Recording:
    try:
        copy = copied(model).eval()
    except Exception as error:
        raise ModelError(f"The model cannot be copied: {_first_line(error)}.") from error
    args, kwargs = inputs.make(1, device=device, dtype=dtype_of(model))
    recorder = _Recorder(is_meta=device == "meta")
    recorder.order.keep(model, copy)
    handles = recorder.watch(copy, frozenset(keep))
    try:
        with torch.no_grad(), recorder:
            copy(*args, **kwargs)
    except Exception as error:
        if device == "meta" and _asks_for_values(error):
            raise _NoValueError from error
        raise ModelError(
            f"The model does not run on {_input_of(inputs)}: {type(error).__name__}: {_first_line(error)}.",
            hint=ANOTHER_INPUT,
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    ran = recorder.ran(copy)
    return Recording(
        copy,
        tuple(recorder.calls),
        ran,
        recorder.maps,
        inputs.image_size,
        frozenset(recorder.uneven),
        frozenset(recorder.ordered),
    )


def _asks_for_values(error: Exception) -> bool:
    told = str(error)
    return isinstance(error, NotImplementedError) or "meta tensor" in told or "meta device" in told


class _NoValueError(Exception):
    """A forward read the value of a meta tensor."""


def _zeros(model: nn.Module) -> nn.Module:
    """A copy on the CPU whose tensors are zeros that take no memory."""
    return clone_with(model, lambda t: zeros(t.shape, t.dtype))


def _input_of(inputs: InputSpec) -> str:
    return f"an input of {inputs.size}" if inputs.size else "its example input"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


class _Recorder(TorchFunctionMode):
    """Keeps the stack of open calls; `TorchFunctionMode` passes it every operation."""

    def __init__(self, *, is_meta: bool) -> None:
        super().__init__()
        self._is_meta = is_meta
        self.calls: list[ModuleCall] = []
        self.maps: dict[tuple[int, int], str] = {}
        self.uneven: set[str] = set()
        self.order = Order()
        self.ordered: set[str] = set()
        self._open_names: list[str] = []
        self._sources: dict[str, Source] = {}
        self._stack: list[ModuleCall | None] = []
        self._grids: dict[int, Grids] = {}
        self._alive: list[Any] = []  # an id is only unique while its tensor lives
        self._weighted: dict[nn.Module, bool] = {}
        self._called: set[str] = set()
        self._used: set[int] = set()  # parameters that a forward used itself

    def watch(self, model: nn.Module, keep: frozenset[str]) -> list[Any]:
        """Hook every module; childless ones are closed boxes."""
        handles = []
        for name, module in model.named_modules():
            self._weighted[module] = has_weight(module)
            opaque = bool(name) and name not in keep and next(module.children(), None) is None
            enter, leave = self._hooks(name, opaque)
            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(module.register_forward_hook(leave, with_kwargs=True))
        return handles

    def ran(self, model: nn.Module) -> frozenset[str]:
        """Names of the modules that took part."""
        used = {
            name
            for name, module in model.named_modules()
            if any(id(p) in self._used for p in module.parameters(recurse=False))
        }
        return frozenset(self._called | used)

    def _hooks(self, name: str, opaque: bool) -> tuple[Callable[..., None], Callable[..., None]]:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            # Our own reading of a shape is not one of the model's operations.
            with torch._C.DisableTorchFunction():
                self._called.add(name)
                self._open_names.append(name)
                # What has no weights may add its inputs, or cut or reorder positions.
                looked_into = not opaque or (not self._weighted[module] and not is_torchs(module))
                call = self._open(name, module, args, kwargs) if looked_into else None
                if call is not None and not opaque:
                    self.calls.append(call)
                self._stack.append(call)

        def leave(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            with torch._C.DisableTorchFunction():
                note_end(module, args, kwargs, output)

        def note_end(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            call = self._stack.pop()
            self._open_names.pop()
            if self.order.has_tokens(output):
                self.ordered.add(name)
            if call is not None:
                self._close(call, output)
            if self._stack and self._stack[-1] is not None:
                above = self._stack[-1]
                node = self._note(above, "call", name, (args, kwargs), output, module)
                if call is not None:
                    if node is not None:
                        node.inner = call
                    if node is not None and not self._weighted[module]:
                        node.operands = tuple(node.inputs[at] for at in operands_of_call(call))
                    call.results = {place: above.env[id(t)] for place, t in tensors_of(output)}

        return enter, leave

    def _open(
        self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ModuleCall:
        parent = self._stack[-1] if self._stack else None
        call = ModuleCall(name, module, parent, args, kwargs)
        for position, (_, tensor) in enumerate(tensors_of([*args, *kwargs.values()])):
            node = Node("input", str(position), (), tuple(tensor.shape), frozenset({position}), frozenset())
            node.grids = self._grids.setdefault(id(tensor), NONE if parent else self._map_of("", tensor))
            call.env.setdefault(id(tensor), node)
            self._alive.append(tensor)
        return call

    def _close(self, call: ModuleCall, output: Any) -> None:
        call.output = output
        call.output_nodes = [
            (place, call.env[id(tensor)]) for place, tensor in tensors_of(output) if id(tensor) in call.env
        ]
        call.env = {}

    def _note(
        self,
        call: ModuleCall,
        kind: str,
        name: str,
        arguments: Any,
        output: Any,
        module: nn.Module | None = None,
        detail: Any = None,
    ) -> Node | None:
        produced = [tensor for _, tensor in tensors_of(output)]
        if not produced:
            return None
        inputs = []
        grids = []
        for _, tensor in tensors_of(arguments):
            grids.append((tuple(tensor.shape), self._grids.get(id(tensor), NONE)))
            node = call.env.get(id(tensor))
            if node is None:
                self._used.add(id(tensor))
            inputs.append(node or Node("const", "", (), tuple(tensor.shape), frozenset(), frozenset()))
        sources = frozenset().union(*(node.sources for node in inputs))
        children = frozenset().union(*(node.children for node in inputs))
        node = Node(kind, name, tuple(inputs), tuple(produced[0].shape), sources, children, module)
        if module is not None and self._weighted.get(module, False):
            node.children = children | {node}
        node.detail = detail
        self._alive.append(output)
        call.nodes.append(node)
        for tensor in produced:
            self._carry(name, module, grids, tensor, detail)
            node.grids = node.grids or self._grids[id(tensor)]
            call.env[id(tensor)] = node
            if module is not None and len(produced) > 1:
                # A node that reads one of a child's outputs need not read the others.
                part = Node("op", "output", (node,), tuple(tensor.shape), sources, node.children)
                part.grids = self._grids[id(tensor)]
                call.env[id(tensor)] = part
                call.nodes.append(part)
            if module is not None and tensor.ndim == 4:
                self._note_map(name, module, tensor)
        return node

    def _map_of(self, name: str, tensor: torch.Tensor) -> Grids:
        """The grid of a map that a module makes, or of the first map that the model (`""`) is given."""
        shape = tuple(tensor.shape)
        if len(shape) != 4 or (name == "" and name in self._sources):
            return of_map(shape)
        source = self._sources.setdefault(name, Source(len(self._sources), name, *shape[2:]))
        if (source.height, source.width) != shape[2:]:
            self.uneven.add(name)
        return of_map(shape, source)

    def _carry(
        self,
        name: str,
        module: nn.Module | None,
        grids: list[tuple[tuple[int, ...], Grids]],
        made: torch.Tensor,
        detail: Any,
    ) -> None:
        """Note the grids of what an operation or a closed child made; an open child has noted its own."""
        shape = tuple(made.shape)
        if module is None:
            self._grids[id(made)] = carried(name, grids, shape, detail)
        elif isinstance(module, _MAKES_MAPS) or "Pool" in type(module).__name__:
            self._grids[id(made)] = self._map_of(name, made) | of_samples(grids, shape)
        elif isinstance(module, nn.Unfold):
            self._grids[id(made)] = of_unfolded(*grids[0], module)
        elif id(made) not in self._grids:
            self._grids[id(made)] = carried("", grids, shape)

    def _note_map(self, name: str, module: nn.Module, tensor: torch.Tensor) -> None:
        size = (tensor.shape[2], tensor.shape[3])
        if size not in self.maps or next(module.children(), None) is None:
            self.maps[size] = name

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self._is_meta and getattr(func, "__name__", "") in _PARTIAL_WRITES:
            fill(args[:1])  # torch would silently write to a repeated number
        output = (known_shape if self._is_meta else known_zeros)(func, args, kwargs)
        if output is None:
            try:
                output = func(*args, **kwargs)
            except RuntimeError:
                if self._is_meta:
                    # A tensor that the forward made may be on the CPU among the meta tensors.
                    args, kwargs = on_meta(args), on_meta(kwargs)
                elif not fill((args, kwargs)):
                    raise
                output = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if self.order.note(name, args, kwargs, output):
            self.ordered.update(self._open_names)
        call = self._stack[-1] if self._stack else None
        if call is not None and (output is None or not isinstance(output, _NO_TENSORS)):
            self._note_operation(call, name, args, kwargs, output)
        return output

    def _note_operation(
        self, call: ModuleCall, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        if name.startswith(FOREACH):
            for own, single, made in each(name, args, output):
                self._note_operation(call, own, single, {}, made)
            return
        target = written(name, args, kwargs)
        if "out" in kwargs:
            kwargs = {key: value for key, value in kwargs.items() if key != "out"}
        node = self._note(
            call,
            "op",
            name,
            (args, kwargs),
            output if output is not None else target,
            detail=detail_of(name, args, kwargs),
        )
        if node is None:
            return
        node.operands = operands(node)
        call.nodes[-1:-1] = inner_sums(node)
        base = target._base if target is not None else None
        if base is not None and id(base) in call.env:
            # Whoever reads the whole tensor reads what was written into a part of it.
            whole = joined("write", (call.env[id(base)], node), tuple(base.shape))
            call.env[id(base)] = whole
            call.nodes.append(whole)
