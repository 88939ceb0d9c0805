"""Attention modules take NCHW; this converts every other layout to it and back.

Legend: N batch, C channels, H rows, W columns, L = P + H*W + Q tokens, P before and Q after the grid, T
frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from attn_inject.attention.contract import is_channel_gate, needs_size
from attn_inject.errors import ModelError
from attn_inject.sites.site import MapSource
from attn_inject.surgery.seen_map import SeenMap, fitting, scaled


@dataclass(frozen=True)
class TokenGrid:
    """The grid of a token sequence: its size in the recorded run, and what shows that of the current call.

    Attributes:
        height: H; None if the tokens have no grid.
        width: W; None if the tokens have no grid.
        prefix: P, tokens before the grid.
        suffix: Q, tokens after the grid.
        source: The map that it was made from; None if its size in a call is not known.
        seen: Notes the size of that map.
    """

    height: int | None
    width: int | None
    prefix: int = 0
    suffix: int = 0
    source: MapSource | None = None
    seen: SeenMap | None = None

    def size(self, tokens: int, *, must_fit: bool = True) -> tuple[int, int]:
        """(H, W) of `tokens` grid tokens in the current call.

        If the call did not run the map's source, it is the recorded size, or the same aspect ratio at
        another scale.

        Args:
            tokens: H * W.
            must_fit: Whether tokens that form no such grid are an error; else they are one column.

        Raises:
            ModelError: The tokens are not a grid of the current map, or of the recorded aspect ratio.
        """
        if self.height is None or self.width is None:
            return tokens, 1
        if not must_fit:
            return (self.height, self.width) if tokens == self.height * self.width else (tokens, 1)
        if self.source is not None and self.seen is not None and (sizes := self.seen.sizes()):
            recorded = self.height, self.width
            return fitting([scaled(self.source, s, recorded) for s in sizes], tokens, self.source.name)
        if tokens == self.height * self.width:
            return self.height, self.width
        height = round(math.sqrt(tokens * self.height / self.width))
        width = tokens // height if height else 0
        # The aspect ratio may differ by the rounding of strides, less than one column.
        if height * width != tokens or abs(width * self.height - height * self.width) >= self.height:
            raise ModelError(
                f"{tokens} tokens are not a grid of the aspect ratio {self.height}:{self.width} "
                "that the attention module was inserted for.",
                hint="Call the model with images of that ratio, or inject again with another "
                "input_size (--input-size C,H,W).",
            )
        return height, width


def in_layout(layout: str, attention: nn.Module, x: torch.Tensor, grid: TokenGrid | None) -> torch.Tensor:
    """`attention` applied to `x`, which has the given layout; the shape is kept."""
    if layout == "NCHW":
        return _call(attention, x)
    if layout == "NHWC":
        return _call(attention, x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    if layout == "NCDHW":
        return _per_frame(attention, x)
    if layout == "NDHWC":
        return _per_frame(attention, x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
    tokens = x.flatten(1, -2)  # windows of tokens become one sequence
    return _on_tokens(attention, tokens, grid or TokenGrid(None, None)).reshape(x.shape)


def _call(attention: nn.Module, x: torch.Tensor) -> torch.Tensor:
    y: torch.Tensor = attention(x)
    return y


def _gate(attention: Any, field: torch.Tensor) -> torch.Tensor:
    gate: torch.Tensor = attention.gate(field)  # (N, C, 1, 1)
    return gate


def _per_frame(attention: nn.Module, x: torch.Tensor) -> torch.Tensor:
    n, c, t, h, w = x.shape
    frames = x.transpose(1, 2).reshape(n * t, c, h, w)  # (N*T, C, H, W)
    return _call(attention, frames).reshape(n, t, c, h, w).transpose(1, 2)  # (N, C, T, H, W)


def _on_tokens(attention: nn.Module, x: torch.Tensor, grid: TokenGrid) -> torch.Tensor:
    n, length, c = x.shape
    # Some tokens may have been dropped for training; a channel gate also fits the rest.
    must_fit = not is_channel_gate(attention) or needs_size(attention)
    h, w = grid.size(length - grid.prefix - grid.suffix, must_fit=must_fit)
    end = length - grid.suffix
    cells = x[:, grid.prefix : end] if grid.prefix or grid.suffix else x  # (N, H*W, C)
    field = cells.transpose(1, 2).reshape(n, c, h, w)  # (N, C, H, W)
    if (grid.prefix or grid.suffix) and is_channel_gate(attention):
        gated: torch.Tensor = x * _gate(attention, field).reshape(n, 1, c)
        return gated
    y = _call(attention, field).reshape(n, c, h * w).transpose(1, 2)  # (N, H*W, C)
    parts = [x[:, : grid.prefix]] if grid.prefix else []
    parts += [y, x[:, end:]] if grid.suffix else [y]
    return torch.cat(parts, dim=1) if len(parts) > 1 else y
