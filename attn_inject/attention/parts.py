"""Small pieces that several attention modules share.

Call these through the module, `parts.check_map(...)`: fx can keep a wrapped function as one opaque call
only if it is looked up in this file.

Legend: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

import torch
import torch.fx
from torch import nn

from attn_inject.request import Option


def check_map(x: torch.Tensor, module: str, channels: int, size: tuple[int, int] | None = None) -> None:
    """Refuse a map that `module` does not fit, with one line instead of a traceback from inside a kernel.

    Args:
        x: The map, (N, C, H, W).
        module: Name for the message.
        channels: The C that the module was built for.
        size: The (H, W) that it was built for, in positions; None accepts every size.

    Raises:
        ValueError: Not four dimensions, other channels, an empty map, or another size.
    """
    if x.ndim != 4:
        raise ValueError(f"{module} takes a map of shape (N, C, H, W), and got {x.ndim} dimensions.")
    # jit.trace turns sizes into tensors, and would warn about each comparison.
    if is_jit_tracing():
        return
    if x.shape[1] != channels:
        raise ValueError(f"{module} was built for {channels} channels, and got a map of {x.shape[1]}.")
    if x.shape[2] == 0 or x.shape[3] == 0:
        raise ValueError(f"{module} got an empty map of {x.shape[2]}x{x.shape[3]} positions.")
    if size is not None and (x.shape[2] != size[0] or x.shape[3] != size[1]):
        got = f"{x.shape[2]}x{x.shape[3]}"
        raise ValueError(f"{module} was built for maps of {size[0]}x{size[1]} positions, and got {got}.")


def is_channels_last(x: torch.Tensor) -> bool:
    """Whether a map (N, C, H, W) lies in memory as (N, H, W, C), and not also as (N, C, H, W)."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def laid_out(y: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A map in the type and memory format of another one, (N, C, H, W) -> (N, C, H, W)."""
    layout = torch.channels_last if is_channels_last(like) else torch.contiguous_format
    return y.to(like.dtype).contiguous(memory_format=layout)


def strip_means(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of each row and of each column, (N, C, H, W) -> (N, C, H), (N, C, W).

    A channels_last map is reduced as it lies in memory, which takes a sixth of the time on a CPU.
    """
    if is_channels_last(x):
        nhwc = x.permute(0, 2, 3, 1)
        return nhwc.mean(2).transpose(1, 2), nhwc.mean(1).transpose(1, 2)
    return x.mean(3), x.mean(2)


def strip_gate(x: torch.Tensor, a_h: torch.Tensor, a_w: torch.Tensor) -> torch.Tensor:
    """Multiply a map by a gate per row and one per column, in the map's own type and memory format.

    (N, C, H, W), (N, C, H), (N, C, W) -> (N, C, H, W).
    """
    a_h, a_w = a_h.to(x.dtype), a_w.to(x.dtype)
    if is_channels_last(x):
        nhwc = x.permute(0, 2, 3, 1)
        gated = nhwc * a_h.transpose(1, 2).unsqueeze(2) * a_w.transpose(1, 2).unsqueeze(1)
        return gated.permute(0, 3, 1, 2)
    return x * a_h.unsqueeze(3) * a_w.unsqueeze(2)


def peak(x: torch.Tensor, dim: int) -> torch.Tensor:
    """The maximum over one dimension, which stays with length 1.

    `max` passes its gradient to one element, and `amax` shares it among equal ones, at ten times the cost;
    without a gradient `amax` is faster. Their values are the same. jit.trace always takes `amax`, since it
    traces with a gradient and checks the trace without one.
    """
    if torch.is_grad_enabled() and not is_jit_tracing():
        return x.max(dim, keepdim=True).values
    return x.amax(dim, keepdim=True)


def spread(squares: torch.Tensor) -> torch.Tensor:
    """Squared distances from the mean, summed over H, W and divided by one less than their number.

    0 for a map of one position, (N, C, H, W) -> (N, C, 1, 1).
    """
    # The mean is summed in float32, where a sum of squares overflows float16.
    return squares.mean((2, 3), keepdim=True) * to_sample(squares)


def standardise(x: torch.Tensor) -> torch.Tensor:
    """(x - mean) / (std + 1e-5) over H, W, in float32 at least, (N, C, H, W) -> (N, C, H, W).

    A constant map gives zeros, and a gradient of zeros where a bare square root would give NaN.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)  # (N, C, 1, 1)
    std = (variance * to_sample(x)).clamp_min(torch.finfo(x.dtype).tiny).sqrt()
    return (x - mean) / (std + 1e-5)


def to_sample(x: torch.Tensor) -> float:
    """L / (L - 1) for L positions, from a mean of squares to a sample variance; 1 for one position."""
    positions = x.shape[2] * x.shape[3]
    if is_jit_tracing():
        return positions / (positions - 1)
    return positions / max(positions - 1, 1)


def is_jit_tracing() -> bool:
    """Whether this call is recorded by torch.jit.trace, as fvcore does to count."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]


# They read their input's shape or layout, which fx cannot trace; wrapped, each is one call in the graph.
torch.fx.wrap("check_map")
torch.fx.wrap("laid_out")
torch.fx.wrap("strip_means")
torch.fx.wrap("strip_gate")
torch.fx.wrap("spread")
torch.fx.wrap("standardise")


def require(accepted: bool, module: str, option: str, value: object, accepts: str) -> None:
    """Raise ValueError naming the module, the option and what it accepts, unless `accepted`."""
    if not accepted:
        raise ValueError(f"{module}: {option}={value} is not accepted; {option} is {accepts}.")


def require_count(module: str, option: str, value: object) -> None:
    """Refuse everything but whole numbers from 1."""
    require(is_count(value), module, option, value, "a whole number from 1")


def require_odd(module: str, option: str, value: object) -> None:
    """Refuse everything but odd whole numbers, whose kernels keep the length of their input."""
    require(is_odd(value), module, option, value, "an odd whole number from 1")


def require_word(module: str, option: str, value: object, words: tuple[str, ...]) -> None:
    """Refuse everything but a few words."""
    require(value in words, module, option, value, f"{', '.join(words[:-1])} or {words[-1]}")


def require_positive(module: str, option: str, value: object) -> None:
    """Refuse everything but finite numbers above 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    require(is_number and 0 < float(str(value)) < math.inf, module, option, value, "a finite number above 0")


def require_size(module: str, size: object) -> None:
    """Refuse everything but (H, W), in positions."""
    accepted = isinstance(size, tuple | list) and len(size) == 2 and all(is_count(side) for side in size)
    require(accepted, module, "size", size, "(H, W), two whole numbers from 1")


def is_count(value: object) -> bool:
    """Whether a value is a whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_odd(value: object) -> bool:
    """Whether a value is an odd whole number from 1."""
    return isinstance(value, int) and is_count(value) and value % 2 == 1


def largest_divisor(total: int, limit: int) -> int:
    """The largest whole number that divides `total` and is at most `limit`; at least 1."""
    return next(number for number in range(max(1, min(limit, total)), 0, -1) if total % number == 0)


def group_count(module: str, option: str, value: object, channels: int) -> int:
    """Groups as a number: `C` is one per channel, `C/8` one per 8 channels, rounded down."""
    if isinstance(value, str) and (match := re.fullmatch(r"C(?:/([1-9][0-9]*))?", value.replace(" ", ""))):
        return channels // int(match[1] or 1)
    require(
        is_count(value), module, option, value, "a whole number from 1, or `C`, or a fraction such as `C/8`"
    )
    return int(str(value))


def require_divisor(module: str, option: str, value: int, channels: int) -> None:
    """Refuse a number of groups that does not divide C."""
    divides = is_count(value) and channels % value == 0
    require(divides, module, option, value, f"a divisor of the {channels} channels")


def adapt_divisor(channels: int, options: Mapping[str, Option], option: str) -> dict[str, Option]:
    """The options with `option` as the largest divisor of C that is at most its value."""
    asked = options[option]
    if not is_count(asked):
        return dict(options)
    return {**options, option: largest_divisor(channels, int(asked))}


def init_he_(*layers: nn.Conv1d | nn.Conv2d, mode: Literal["fan_in", "fan_out"]) -> None:
    """Normal weights of variance 2 / inputs (`fan_in`) or 2 / outputs (`fan_out`), biases zero."""
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")
    zero_bias_(*layers)


def zero_bias_(*layers: nn.Conv1d | nn.Conv2d) -> None:
    """Biases zero, where there are any."""
    for layer in layers:
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def freeze_bias_(*layers: nn.Conv1d | nn.Conv2d) -> None:
    """Biases fixed at zero, where the next layer cancels them and no gradient would reach them."""
    for layer in layers:
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
            layer.bias.requires_grad_(False)
