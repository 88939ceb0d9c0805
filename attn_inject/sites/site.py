"""Sites, and the reasons why other modules are not sites: frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, kw_only=True)
class MapSource:
    """The module whose call shows how many rows and columns the tokens have.

    Attributes:
        name: Its qualified name; "" is the model, whose input is the map.
        height: Rows of its map in the recorded run; the grid has as many, or a fraction.
        width: Columns of its map in the recorded run.
    """

    name: str
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Site:
    """One place where an attention module can be inserted, named after its block.

    Attributes:
        name: The block's qualified name in the model, `layer3.5`.
        block: The block's class name, `Bottleneck`.
        layout: `NCHW`, `NHWC`, `NLC`, `NCDHW` or `NDHWC`.
        channels: C of the block's output.
        height: Rows of the map, in positions; None for tokens without a grid.
        width: Columns of the map, in positions; None for tokens without a grid.
        prefix: Class, register and distillation tokens before the grid (NLC only).
        stage: Number of the stage, from 1, in order of first appearance; see `sites.stages`.
        calls: How often one forward of the model runs this block.
        element: Which element of a tuple or dictionary output the block's addition made; None if it
            returns a tensor.
        suffix: Tokens after the grid (NLC only).
        source: What shows the rows and columns of the current call (NLC only); None if nothing does.
        ordered: Whether its tokens attend only to those before them.
    """

    name: str
    block: str
    layout: str
    channels: int
    height: int | None
    width: int | None
    prefix: int = 0
    stage: int = 1
    calls: int = 1
    element: int | str | None = None
    # Files of earlier versions lack these.
    suffix: int = field(default=0, metadata={"later": True})
    source: MapSource | None = field(default=None, metadata={"later": True})
    ordered: bool = field(default=False, metadata={"later": True})

    @property
    def map_size(self) -> tuple[int, int] | None:
        """(height, width) in positions; None for tokens without a grid."""
        return None if self.height is None or self.width is None else (self.height, self.width)

    @property
    def size(self) -> str:
        """`56x56`, for people; `-` for tokens without a grid."""
        return "-" if self.height is None else f"{self.height}x{self.width}"


class RejectionCode(StrEnum):
    """Why something is not a site, or was skipped, for programs; the reason beside it is for people.

    Attributes:
        meaning: The code in a few words.
    """

    meaning: str

    # What the recorded run shows of a module.
    NOT_RUN = "not-run", "the forward never called the module"
    IN_MODEL = "in-model", "the model itself adds in its own forward"
    NO_SHORTCUT = "no-shortcut", "others of its class have a shortcut, this one does not"
    NO_SUM = "no-sum", "its paths meet in an operation that is not a sum"
    INNER = "inner", "it is part of a block"
    GROUP = "group", "it is a group of blocks with one long skip"
    STACK = "stack", "it adds layer by layer in its own forward"
    SUMS_BLOCKS = "sums-blocks", "it sums the outputs of blocks"
    BETWEEN_BLOCKS = "between-blocks", "it lies between the blocks"
    POSITION_ENCODING = "position-encoding", "it adds a position encoding"
    FIRST_HALF = "first-half", "the next module ends its block"
    REPARAMETERIZED = "reparameterized", "it becomes one convolution after training"
    ALONE = "alone", "it is a multi-branch convolution outside any list"
    # What its additions lack.
    SHAPES_DIFFER = "shapes-differ", "it adds tensors of different shapes"
    VECTORS = "vectors", "it adds vectors"
    NO_LIGHTER_SIDE = "no-lighter-side", "both sides of its sum hold the same weights"
    GATED_SHORTCUT = "gated-shortcut", "its shortcut is gated"
    FUSION = "fusion", "it adds values computed from several inputs"
    DEEP_SHORTCUT = "deep-shortcut", "its shortcut holds more than a projection"
    SUM_UNUSED = "sum-unused", "its sum does not reach its output"
    # What its output lacks.
    NO_TENSOR = "no-tensor", "it returns no tensor, or the placement finds none"
    NOT_FLOATING = "not-floating", "its output is not floating-point"
    SIGNAL = "signal", "its output is a signal along one axis"
    NO_LAYOUT = "no-layout", "its output is neither a map nor tokens"
    # What a module or a placement needs, and the site lacks.
    NO_GRID = "no-grid", "its tokens have no grid"
    ORDERED = "ordered", "its tokens attend only to those before them"
    TOO_SMALL = "too-small", "its map has fewer positions than the attention module needs"
    UNREAD_GRID = "unread-grid", "nothing reads the tokens of its grid"
    CANNOT_BUILD = "cannot-build", "the attention module cannot be built for its size"
    NOT_EXCHANGEABLE = "not-exchangeable", "its class cannot be replaced"
    NOT_TRACEABLE = "not-traceable", "the placement rewrites its forward, which cannot be traced"
    NO_PLACE = "no-place", "the placement does not occur in it"
    OVERWRITTEN = "overwritten", "the value that the placement would change is overwritten"
    ARITY = "arity", "it does not map one tensor to one of the same shape"
    CONV_UNLIKE = "conv-unlike", "attention cannot replace this convolution"

    def __new__(cls, value: str, meaning: str) -> RejectionCode:
        """A code with its meaning."""
        code = str.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code


@dataclass(frozen=True)
class Reason:
    """Why something is not a site, or cannot be edited.

    Attributes:
        code: For programs.
        text: For people, without a full stop.
    """

    code: RejectionCode
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A candidate that is not a site, or a site that was skipped.

    Attributes:
        name: The module's qualified name; `(model)` for the model itself.
        code: Why, for programs.
        reason: Why, for people.
    """

    name: str
    code: RejectionCode
    reason: str

    @classmethod
    def of(cls, name: str, reason: Reason) -> Rejection:
        """The rejection of the module called `name`."""
        return cls(name=name, code=reason.code, reason=reason.text)
