"""The grid of a tensor: the map whose positions its tokens are, followed from the layer that made the map.

The number of tokens alone says nothing: 77 words are not an 8 x 8 map with 13 tokens before it. So a grid is
noted where a layer makes a map, and followed through flattening, slicing and concatenation up to the tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

# Their positions are those of their first tensor.
_LOOKS = frozenset(
    {
        *("matmul", "bmm", "baddbmm", "einsum", "__matmul__"),
        *("scaled_dot_product_attention", "multi_head_attention_forward"),
    }
)
RESIZES = frozenset(
    {
        *("conv2d", "conv_transpose2d", "interpolate", "pixel_shuffle", "pixel_unshuffle"),
        *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"),
    }
)
_POOLS = frozenset({"mean", "sum", "amax", "max", "logsumexp"})
# Their result has the size that they were told, whatever the size of their input.
_TO_A_GIVEN_SIZE = frozenset({"interpolate", "adaptive_avg_pool2d", "adaptive_max_pool2d"})


@dataclass(frozen=True, order=True)
class Source:
    """The module whose call shows the size of a map.

    Attributes:
        order: How many such maps the run had made before.
        name: Its qualified name; "" is the model, whose *input* is the map. None if no module shows the size.
        height: Rows of its map in the recorded run.
        width: Columns of its map in the recorded run.
    """

    order: int
    name: str | None
    height: int = 0
    width: int = 0


UNSEEN = Source(2**31, None)


@dataclass(frozen=True, order=True)
class Grid:
    """H x W positions with others before and after them.

    Attributes:
        before: Tokens before the grid.
        behind: Tokens after the grid.
        height: H.
        width: W.
        source: The map that it was made from, at the same or another scale.
    """

    before: int
    behind: int
    height: int
    width: int
    source: Source = UNSEEN

    @property
    def length(self) -> int:
        """Of the whole sequence."""
        return self.before + self.height * self.width + self.behind


Grids = frozenset[Grid]
NONE: Grids = frozenset()


def of_unfolded(shape: Sequence[int], grids: Grids, unfold: nn.Unfold) -> Grids:
    """The grid of the windows of `nn.Unfold` on a map (N, C, H, W), which has `grids`."""
    if len(shape) != 4:
        return NONE
    options = (unfold.kernel_size, unfold.stride, unfold.padding, unfold.dilation)
    kernel, stride, padding, dilation = ((o, o) if isinstance(o, int) else tuple(o) for o in options)
    height, width = (
        (shape[2 + i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    )
    return frozenset({Grid(0, 0, height, width, _source_of(shape, grids))})


def of_map(shape: Sequence[int], source: Source = UNSEEN) -> Grids:
    """The grid of a map (N, C, H, W); a single position has none."""
    if len(shape) != 4 or shape[2] * shape[3] == 1:
        return NONE
    return frozenset({Grid(0, 0, shape[2], shape[3], source)})


def _source_of(shape: Sequence[int], grids: Grids) -> Source:
    """The first source of a map (N, C, H, W)."""
    own = (grid.source for grid in grids if (grid.height, grid.width) == tuple(shape[2:]))
    return min(own, default=UNSEEN)


def _united(grids: Iterable[Grids]) -> Grids:
    """All grids, those of the same positions with their first source only."""
    every = frozenset().union(*grids)
    if len(every) < 2:
        return every
    first: dict[tuple[int, int, int, int], Grid] = {}
    for grid in sorted(every, reverse=True):
        first[grid.before, grid.behind, grid.height, grid.width] = grid
    return frozenset(first.values())


def of_samples(inputs: Sequence[tuple[tuple[int, ...], Grids]], shape: tuple[int, ...]) -> Grids:
    """The grids whose positions are samples, as when a map's windows become samples."""
    return frozenset(
        grid
        for own, grids in inputs
        for grid in grids
        if (grid.height, grid.width) != own[2:] and shape[0] % grid.length == 0
    )


def carried(
    name: str,
    inputs: Sequence[tuple[tuple[int, ...], Grids]],
    shape: tuple[int, ...],
    detail: Any = None,
) -> Grids:
    """The grids of an operation's result.

    Args:
        name: The operation.
        inputs: Shape and grids of each tensor that it takes.
        shape: Of its result.
        detail: The index of a `__getitem__`.
    """
    if not inputs or len(shape) < 2:
        return NONE
    if name in ("cat", "concat", "concatenate") and len(shape) == 3:
        return _joined([(s, g) for s, g in inputs if len(s) == 3], shape)
    taken = inputs[:1] if name in _LOOKS else inputs
    grids = _united(own for _, own in taken)
    if name == "__getitem__":
        source = inputs[0][0]
        return _kept(_sliced(grids, detail) if len(source) == 3 else _strided(grids, source, shape), shape)
    if name in RESIZES:
        return of_map(shape, UNSEEN if name in _TO_A_GIVEN_SIZE else _source_of(*inputs[0]))
    if name in _POOLS and math.prod(shape) < math.prod(inputs[0][0]):
        return NONE
    return _patches(grids, shape) or _rows_of_patches(inputs[0], shape) or _kept(grids, shape)


def _kept(grids: Grids, shape: tuple[int, ...]) -> Grids:
    """The grids that a tensor of rank 3 still has on one of its axes; a higher rank may hide them.

    The first axis may hold both samples and positions.
    """
    if len(shape) > 3:
        return grids
    rest = shape[1:] if len(shape) == 3 else ()
    return frozenset(grid for grid in grids if grid.length in rest or shape[0] % grid.length == 0)


def _joined(inputs: Sequence[tuple[tuple[int, ...], Grids]], shape: tuple[int, ...]) -> Grids:
    if shape[1] != sum(own[1] for own, _ in inputs):
        return _kept(_united(grids for _, grids in inputs), shape)
    found = set()
    for at, (_, grids) in enumerate(inputs):
        before = sum(own[1] for own, _ in inputs[:at])
        behind = sum(own[1] for own, _ in inputs[at + 1 :])
        found |= {
            replace(grid, before=grid.before + before, behind=grid.behind + behind)
            for grid in grids
            if grid.length == inputs[at][0][1]
        }
    return frozenset(found)


def _sliced(grids: Grids, index: Any) -> Grids:
    """The grid after `x[:, start:stop]`; None and other axes change nothing."""
    if not (isinstance(index, tuple) and len(index) > 1 and isinstance(index[1], slice)):
        return grids
    found = set()
    for grid in grids:
        start, stop, step = index[1].indices(grid.length)
        before, behind = grid.before - start, grid.behind - (grid.length - stop)
        if step == 1 and before >= 0 and behind >= 0:
            found.add(replace(grid, before=before, behind=behind))
    return frozenset(found)


def _strided(grids: Grids, source: tuple[int, ...], shape: tuple[int, ...]) -> Grids:
    """The grid after a slice of a map: `x[:, 0::2, 1::2]` is a map of every second position."""
    if len(source) != 4 or len(shape) != 4:
        return grids
    found = set()
    for grid in grids:
        for at in (1, 2):
            if source[at : at + 2] == (grid.height, grid.width):
                found.add(Grid(0, 0, shape[at], shape[at + 1], grid.source))
    return frozenset(found)


def _patches(grids: Grids, shape: tuple[int, ...]) -> Grids:
    """The grid of a map's patches, (N, C, H/p, p, W/p, p) or with C last."""
    if len(shape) != 6:
        return NONE
    found = set()
    for grid in grids:
        for first in (1, 2):
            rows, tall, columns, wide = shape[first : first + 4]
            if rows * tall == grid.height and columns * wide == grid.width:
                found.add(Grid(0, 0, rows, columns, grid.source))
    return frozenset(found)


def _rows_of_patches(source: tuple[tuple[int, ...], Grids], shape: tuple[int, ...]) -> Grids:
    """The same for (N, C, H, W) -> (N*C*H/p, p, W/p, p), as in MobileViT."""
    whole, grids = source
    if len(shape) != 4 or len(whole) != 4 or shape == whole:
        return NONE
    return frozenset(
        Grid(0, 0, grid.height // shape[1], shape[2], grid.source)
        for grid in grids
        if (grid.height, grid.width) == whole[2:]
        and shape[2] * shape[3] == grid.width
        and shape[0] * shape[1] == whole[0] * whole[1] * grid.height
    )
