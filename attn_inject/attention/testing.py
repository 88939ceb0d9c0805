"""The contract test that the built-in modules pass, for authors of other ones.

Legend: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from attn_inject.attention.contract import is_channel_gate, needs_size, option_defaults

# (N, H, W): odd sides, one sample, maps that are not square, one row, one position.
MAPS = ((2, 7, 5), (1, 7, 5), (3, 1, 9), (2, 1, 1), (2, 13, 8))


def check_attention(
    attention: Callable[..., nn.Module],
    *,
    channels: int = 32,
    maps: Sequence[tuple[int, int, int]] = MAPS,
    **options: Any,
) -> None:
    """Hold a class of attention modules to what `attn_inject` relies on.

    Checked are: named options; one map in, one map of the same shape and type out, for every map of `maps`;
    the input left alone; a gradient for every parameter; equal results of copies and reloaded tensors; a
    build on the meta device; a channel gate that is what the forward multiplies by.

    Args:
        attention: The class, or what builds the module: `(channels, *, option=default, ...)`.
        channels: C of the maps.
        maps: (N, H, W) of the maps; leave out those too small for the module.
        options: The options to build it with.

    Raises:
        AssertionError: Lists every promise that is not kept.
    """
    broken = [f"- {what}" for what in _broken(attention, channels, maps, options)]
    if broken:
        name = getattr(attention, "__name__", repr(attention))
        raise AssertionError("\n".join([f"{name} does not keep the contract of attention modules:", *broken]))


def _broken(
    attention: Callable[..., nn.Module], channels: int, maps: Sequence[tuple[int, int, int]], options: Any
) -> Iterator[str]:
    yield from _signature(attention)
    found: list[str] = []
    for n, h, w in maps:
        try:
            module = _build(attention, channels, (h, w), options)
            found += _on_a_map(module, _map(n, channels, h, w))
        except Exception as error:
            found.append(f"on a map of shape {(n, channels, h, w)} it raises {type(error).__name__}: {error}")
            break
    yield from found
    if found:
        return
    n, h, w = maps[0]
    module = _build(attention, channels, (h, w), options)
    x = _map(n, channels, h, w)
    yield from _gradients(module, x)
    yield from _copies(module, _build(attention, channels, (h, w), options, seed=1), x)
    yield from _gate(module.eval(), x)
    yield from _positions(module, x)
    with torch.device("meta"):
        if any(
            not parameter.is_meta for parameter in _new(attention, channels, (h, w), options).parameters()
        ):
            yield "built under torch.device('meta') it makes parameters elsewhere"


def _signature(attention: Callable[..., nn.Module]) -> Iterator[str]:
    parameters = list(inspect.signature(attention).parameters.values())
    if stars := [p for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]:
        yield f"the constructor takes {stars[0]}, so its options cannot be listed"
    if any(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters[1:]):
        yield "options must be named, never positional: (channels, *, option=default, ...)"


def _on_a_map(module: nn.Module, x: torch.Tensor) -> Iterator[str]:
    shape, before = tuple(x.shape), x.clone()
    # A batch norm refuses to train on one number per channel.
    for training in (True, False) if len(x) > 1 else (False,):
        with torch.no_grad():
            y = module.train(training)(x)
        if y.shape != x.shape or y.dtype != x.dtype:
            yield f"a map of shape {shape} becomes {tuple(y.shape)} {y.dtype}; shape and type must stay"
        elif not training and not bool(y.isfinite().all()):
            yield f"on a map of shape {shape} its output is not finite"
        if not torch.equal(x, before):
            yield f"it writes into its input of shape {shape}"
            return


def _gradients(module: nn.Module, x: torch.Tensor) -> Iterator[str]:
    x = x.clone().requires_grad_()
    (module.train()(x) * x).sum().backward()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            yield f"no gradient reaches {name}"


@torch.no_grad()
def _copies(module: nn.Module, fresh: nn.Module, x: torch.Tensor) -> Iterator[str]:
    y = module.eval()(x)
    if not torch.equal(copy.deepcopy(module)(x), y):
        yield "a deep copy computes something else"
    fresh.load_state_dict(module.state_dict())
    if not torch.equal(fresh.eval()(x), y):
        yield "a new module with its state dict computes something else: something is kept outside of it"


@torch.no_grad()
def _gate(module: nn.Module, x: torch.Tensor) -> Iterator[str]:
    if not is_channel_gate(module):
        return
    gate: torch.Tensor = module.gate(x)  # type: ignore[operator]
    if gate.shape != (*x.shape[:2], 1, 1):
        yield f"gate(x) has shape {tuple(gate.shape)}, but a channel gate is (N, C, 1, 1)"
    elif not torch.equal(module(x), x * gate):
        yield "acts_on is 'channel', but forward(x) is not x * gate(x)"


@torch.no_grad()
def _positions(module: nn.Module, x: torch.Tensor) -> Iterator[str]:
    if getattr(module, "mixes_positions", True):
        return
    other = x.clone()
    other[..., -1, -1] += 1
    if not torch.equal(module(x)[..., 0, 0], module(other)[..., 0, 0]):
        yield "mixes_positions is False, but the last position changes the first one's output"


def _new(
    attention: Callable[..., nn.Module], channels: int, size: tuple[int, int], options: Any
) -> nn.Module:
    if hasattr(attention, "adapt"):
        options = attention.adapt(channels, {**option_defaults(attention), **options})
    return attention(channels, **options, **({"size": size} if needs_size(attention) else {}))


def _build(
    attention: Callable[..., nn.Module], channels: int, size: tuple[int, int], options: Any, *, seed: int = 0
) -> nn.Module:
    """With random scales and shifts, since zeros would hide what a module does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _new(attention, channels, size, options)
        for parameter in module.parameters():
            if parameter.ndim <= 1:
                nn.init.uniform_(parameter, 0.5, 1.5)
    return module


def _map(n: int, c: int, h: int, w: int) -> torch.Tensor:
    return torch.randn(n, c, h, w, generator=torch.Generator().manual_seed(0))  # (N, C, H, W)
