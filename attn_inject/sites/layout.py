"""The layout of a block's tensor: the axis of the channels, the axes of the grid, and the prefix tokens.

Rank 4 is NCHW or NHWC, rank 5 NCDHW or NDHWC, rank 3 tokens (NLC). The layers that made the tensor tell the
axis of the channels; where none does, the axes of the grid are those that have the aspect of the image, and
where both pairs have it, nothing tells. Tokens are a grid only if they were made from a map.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from attn_inject.sites.axes import channel_axis
from attn_inject.sites.nodes import ModuleCall, Node
from attn_inject.sites.recording import Recording
from attn_inject.sites.site import MapSource, Reason, RejectionCode, Site


@dataclass(frozen=True)
class Layout:
    """Where the axes of a tensor are.

    Attributes:
        name: `NCHW`, `NHWC`, `NLC`, `NCDHW` or `NDHWC`.
        channels: C.
        height: Rows of the grid, or None for tokens without one.
        width: Columns of the grid, or None.
        prefix: Tokens before the grid.
        suffix: Tokens behind the grid.
        source: What shows the size of the grid in the current call, or None.
    """

    name: str
    channels: int
    height: int | None
    width: int | None
    prefix: int = 0
    suffix: int = 0
    source: MapSource | None = None

    def on(self, site: Site) -> Site:
        """A site with this layout."""
        return dataclasses.replace(
            site,
            layout=self.name,
            channels=self.channels,
            height=self.height,
            width=self.width,
            prefix=self.prefix,
            suffix=self.suffix,
            source=self.source,
        )


def infer(
    shape: tuple[int, ...], made: Node, recording: Recording, call: ModuleCall, *, added: Node | None = None
) -> Layout | Reason:
    """The layout of a tensor in `call`, or the reason why there is none.

    Args:
        shape: Of the tensor.
        made: What made it.
        recording: The run.
        call: The call of the block.
        added: The sum that it was made from, which may have had another layout.
    """
    if len(shape) == 4:
        return _of_map(shape, channel_axis(made, call), recording.image_size)
    if len(shape) == 3:
        if channel_axis(made, call) == 1:
            text = (
                f"its output of shape {shape} is a signal along one axis, and attention modules act on maps"
            )
            return Reason(RejectionCode.SIGNAL, text)
        return _of_tokens(shape, added or made, recording, call)
    if len(shape) == 5:
        return _of_video(shape, channel_axis(made, call), recording.image_size)
    return Reason(RejectionCode.NO_LAYOUT, f"its output of shape {shape} is neither a map nor tokens")


def _of_map(shape: tuple[int, ...], axis: int | None, image: tuple[int, int] | None) -> Layout | Reason:
    first = Layout("NCHW", shape[1], shape[2], shape[3])
    last = Layout("NHWC", shape[3], shape[1], shape[2])
    fits_last = _fits_image((shape[1], shape[2]), image)
    if axis is None:
        return _of_aspect(shape, first, last, _fits_image((shape[2], shape[3]), image), fits_last)
    if axis == 1:
        return first
    # Windows of tokens, (N, windows, tokens, C), have no grid.
    return last if fits_last else Layout("NLC", shape[3], None, None)


def _of_video(shape: tuple[int, ...], axis: int | None, image: tuple[int, int] | None) -> Layout | Reason:
    first = Layout("NCDHW", shape[1], shape[3], shape[4])
    last = Layout("NDHWC", shape[4], shape[2], shape[3])
    if axis is None:
        fits = _fits_image((shape[3], shape[4]), image), _fits_image((shape[2], shape[3]), image)
        return _of_aspect(shape, first, last, *fits)
    return first if axis == 1 else last


def _of_aspect(
    shape: tuple[int, ...], first: Layout, last: Layout, fits_first: bool, fits_last: bool
) -> Layout | Reason:
    """The one layout whose grid can have the image's aspect, where no layer tells the channels."""
    if fits_first != fits_last:
        return first if fits_first else last
    text = f"no layer tells which axis of its output of shape {shape} holds the channels"
    return Reason(RejectionCode.NO_LAYOUT, text)


def _fits_image(grid: tuple[int, int], image: tuple[int, int] | None) -> bool:
    """Whether a grid has the image's aspect ratio, up to the rounding of strides."""
    if image is None:
        return True
    rows, columns = grid
    return abs(rows * image[1] - columns * image[0]) <= max(image) * 0.51 and rows <= image[0]


def _of_tokens(shape: tuple[int, ...], node: Node, recording: Recording, call: ModuleCall) -> Layout:
    _, length, channels = shape
    told = _told_prefix(recording, call)
    made = [node, *(output for _, output in call.output_nodes)]
    fitting = [grid for item in made for grid in item.grids if grid.length == length]
    if not fitting or _is_reordered(recording):
        return Layout("NLC", channels, None, None)
    grid = min(fitting, key=lambda grid: (grid.before != told, grid))
    shown = grid.source
    source = None
    if shown.name is not None and shown.name not in recording.uneven:
        source = MapSource(name=shown.name, height=shown.height, width=shown.width)
    return Layout("NLC", channels, grid.height, grid.width, grid.before, grid.behind, source)


def _is_reordered(recording: Recording) -> bool:
    """Whether the tokens' order is no longer that of the rows (Hiera's mask units)."""
    return hasattr(recording.model, "unroll") and hasattr(recording.model, "reroll")


def _told_prefix(recording: Recording, call: ModuleCall) -> int:
    """The number of extra tokens that the nearest enclosing module states, else 0."""
    current: ModuleCall | None = call
    while current is not None:
        told = getattr(current.module, "num_prefix_tokens", None)
        if isinstance(told, int):
            return told
        current = current.parent
    return 0
