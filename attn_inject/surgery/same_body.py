"""Whether a traced body does the same as the block's own forward, and if not, what it loses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from attn_inject.models.clone import clone_with, to_meta
from attn_inject.models.randomness import seeded
from attn_inject.surgery.ambient import difference
from attn_inject.surgery.observed import Observed, observe
from attn_inject.surgery.stand_ins import ChildOf, Memory, stand_in

_SEED = 0
_MOST_KNOWN = 1024
_known: dict[Any, str | None] = {}
_Run = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Any]


def peculiarity(block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """What a block's own forward does that no traced body can, apart from its children; None if nothing.

    Args:
        block: Any module; copies of it run.
        args: Positional arguments of a recorded call.
        kwargs: Its keyword arguments.
    """
    for training in (False, True):
        for seen in _own(block, args, kwargs, training=training):
            if seen.own_ambient:
                return _switches(seen.own_ambient)
            if seen.drawn:
                return _draws(seen.drawn[0])
            if names := [name for name in seen.changed if not _is_of_child(block, name)]:
                return _writes(names[0])
    return None


def difference_of(
    block: nn.Module, graph: fx.Graph, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> str | None:
    """How a traced body differs from the block's own forward, in either mode; None if it does not.

    Args:
        block: The block; copies of it run.
        graph: Its traced body; a placeholder takes the argument of its name.
        args: Positional arguments of a recorded call.
        kwargs: Its keyword arguments.
    """
    key = (_kind(block), str(graph), _signature((args, dict(kwargs))))
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = _difference(block, graph, args, kwargs)
    return _known[key]


def _difference(
    block: nn.Module, graph: fx.Graph, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> str | None:
    def body(copy: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = inspect.signature(copy.forward).bind(*args, **kwargs)
        bound.apply_defaults()
        order = [bound.arguments[node.target] for node in graph.nodes if node.op == "placeholder"]
        return fx.Interpreter(copy, graph=graph).run(*order)

    try:
        for training in (False, True):
            for own, rewritten in _pairs(block, args, kwargs, body, training=training):
                if reason := _lost(own, rewritten):
                    return reason
    except Exception as error:  # of the body: where the block's own forward fails, nothing is compared
        return f"its traced body does not run ({first_line(error)})"
    return None


def first_line(error: Exception) -> str:
    """The class of an error and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def _kind(block: nn.Module) -> Any:
    """Everything that a block's behaviour depends on, except tensor values; a stage's blocks are alike."""
    return tuple(
        (name, type(module), repr(sorted((key, _plain(value)) for key, value in _all_of(module))))
        for name, module in block.named_modules()
    )


def _all_of(module: nn.Module) -> Iterator[tuple[str, Any]]:
    yield from (
        item for item in vars(module).items() if item[0] not in ("_parameters", "_buffers", "_modules")
    )
    yield from module._parameters.items()
    yield from module._buffers.items()


def _plain(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{tuple(value.shape)} {value.dtype} {value.requires_grad}"
    return re.sub("0x[0-9a-f]+", "", repr(value))  # the address of an object


def _signature(inputs: Any) -> str:
    return repr(pytree.tree_map_only(torch.Tensor, _plain, inputs))


def _own(
    block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, training: bool
) -> Iterator[Observed]:
    for seen, _ in _pairs(block, args, kwargs, None, training=training):
        yield seen


def _pairs(
    block: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    body: _Run | None,
    *,
    training: bool,
) -> Iterator[tuple[Observed, Observed]]:
    """The own forward and the body, observed on the first stand-in for the block on which the forward runs.

    Nothing is yielded if it runs on none: a norm may refuse one sample, or an operation may need values for
    its shapes. Then only a comparison of values can decide.
    """
    for device, doubled in (("meta", False), ("meta", True), ("cpu", False), ("cpu", True)):
        memory: Memory = {}
        inputs = _standing_in((args, dict(kwargs)), device, doubled=doubled)
        try:
            # On a separate copy, since the children run for their shapes and change it.
            _observed(block, inputs, device, memory, None, training=training)
            own = _observed(block, inputs, device, memory, None, training=training)
        except Exception:
            continue
        yield own, own if body is None else _observed(block, inputs, device, memory, body, training=training)
        return


def _observed(
    block: nn.Module, inputs: Any, device: str, memory: Memory, body: _Run | None, *, training: bool
) -> Observed:
    copy = to_meta(block) if device == "meta" else clone_with(block, _on_cpu)
    copy.train(training)
    args, kwargs = pytree.tree_map_only(torch.Tensor, _with_graph, inputs)
    call = copy.forward if body is None else lambda *args, **kwargs: body(copy, args, kwargs)
    stand_in(copy, memory)
    # Autocast is on in evaluation, so that a forward that switches it off is detected.
    with seeded(_SEED), torch.enable_grad(), _autocast(on=not training):
        return observe(copy, lambda: call(*args, **kwargs), (args, kwargs))


@contextmanager
def _autocast(*, on: bool) -> Iterator[None]:
    devices = ("cpu", "cuda")
    before = [torch.is_autocast_enabled(device) for device in devices]
    try:
        for device in devices:
            torch.set_autocast_enabled(device, on)
        yield
    finally:
        for device, was in zip(devices, before, strict=True):
            torch.set_autocast_enabled(device, was)


def _standing_in(inputs: Any, device: str, *, doubled: bool) -> Any:
    def stand_in(tensor: torch.Tensor) -> torch.Tensor:
        made = torch.empty_like(tensor, device="meta") if device == "meta" else _on_cpu(tensor)
        return torch.cat([made, made]) if doubled and made.ndim and len(made) == 1 else made

    with torch.no_grad():
        return pytree.tree_map_only(torch.Tensor, stand_in, inputs)


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return torch.zeros(tensor.shape, dtype=tensor.dtype)
    generator = torch.Generator().manual_seed(tensor.numel())
    return (torch.rand(tensor.shape, generator=generator) / 5 + 0.1).to(tensor.dtype)


def _with_graph(tensor: torch.Tensor) -> torch.Tensor:
    """A copy inside a graph, like a block's input: it may be written to."""
    copy = tensor.detach().clone()
    return copy.requires_grad_().clone() if copy.is_floating_point() else copy


def _lost(own: Observed, body: Observed) -> str | None:
    """What the own forward did and the body did not."""
    if functions := [name for name in _functions(own) if name not in _functions(body)]:
        return f"its forward uses the autograd function {functions[0]}, whose backward a rewritten body loses"
    if names := [name for name in own.drawn if name not in body.drawn]:
        return _draws(names[0])
    if written := set(own.changed) ^ set(body.changed):
        return _writes(min(written))
    if own.writes_input != body.writes_input:
        return "its forward writes to its input, which a rewritten body would not"
    if own.own_ambient != body.own_ambient:
        return _switches(own.own_ambient or body.own_ambient)
    if own.operations != body.operations:
        pairs = zip(own.operations, body.operations, strict=False)
        name = next((a[0] for a, b in pairs if a != b), "another number of operations")
        return f"its rewritten body would not compute the same as its own forward ({name})"
    for left, right in zip(own.ambient, body.ambient, strict=False):
        if left != right:
            return _switches(difference(left, right))
    if own.generators != body.generators:
        return _draws(next(name for name in own.generators if own.generators[name] != body.generators[name]))
    if own.output != body.output:
        return "its rewritten body would not return the same as its own forward"
    if own.graph != body.graph:
        return "its forward changes what gradients flow through, which a rewritten body would not"
    return None


def _functions(seen: Observed) -> list[str]:
    """Names of the graph's nodes; torch's own end in "Backward" and a number."""
    return [
        name
        for name, _ in seen.graph[1:]
        if not (name[-1].isdigit() or "::" in name or name == f"{ChildOf.__name__}Backward")
    ]


def _switches(what: str) -> str:
    return f"its forward switches {what}, which a rewritten body would not"


def _draws(generator: str) -> str:
    return f"its forward draws from {generator} random generator, which a rewritten body would not"


def _writes(name: str) -> str:
    return f"its forward writes self.{name}, which a rewritten body would not"


def _is_of_child(block: nn.Module, name: str) -> bool:
    return name.partition(".")[0] in dict(block.named_children())
