"""The inserted module: an attention module with its layout and start.

Legend: N batch, C channels, H rows, W columns, L tokens, P prefix tokens, T frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import fx, nn

from attn_inject.surgery.adapters import TokenGrid, in_layout
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.seen_map import seen_by


@dataclass(frozen=True)
class Replaced:
    """The parts of a replaced module, which no state dict and no `parameters()` shows.

    Attributes:
        parameters: Its own parameters by name.
        buffers: Its own buffers by name.
        modules: Its children by name.
    """

    parameters: Mapping[str, nn.Parameter | None]
    buffers: Mapping[str, torch.Tensor | None]
    modules: Mapping[str, nn.Module | None]

    @property
    def is_whole(self) -> bool:
        """Whether it has its values, which a model that was rebuilt from a file may lack."""
        return not any(tensor.is_meta for tensor in self.state().values())

    def state(self) -> dict[str, torch.Tensor]:
        """Its parameters and buffers by name, including those of its children."""
        own = {**self.parameters, **self.buffers}
        state = {name: tensor for name, tensor in own.items() if tensor is not None}
        for name, module in self.modules.items():
            tensors = module.state_dict(keep_vars=True) if module is not None else {}
            state |= {f"{name}.{key}": tensor for key, tensor in tensors.items()}
        return state

    def filled(self, state: Mapping[str, torch.Tensor]) -> Replaced:
        """The same with values under the names of `state()`; its children are filled in place."""
        for name, module in self.modules.items():
            if module is not None:
                prefix = f"{name}."
                own = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
                module.load_state_dict(own, assign=True)
        parameters = {
            name: old if old is None else nn.Parameter(state[name], requires_grad=old.requires_grad)
            for name, old in self.parameters.items()
        }
        buffers = {name: state.get(name, old) for name, old in self.buffers.items()}
        return Replaced(parameters, buffers, self.modules)


@fx.wrap
def _like(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """`y`, of the shape of `x`, with the strides of `x` where the two differ in axes of size 1 only.

    Such strides say nothing about values, but by them torch chooses between kernels for channels first and
    last, which round differently.
    """
    if torch.compiler.is_compiling() or x.stride() == y.stride():
        return y
    sizes = zip(x.shape, x.stride(), y.stride(), strict=True)
    return y if any(size > 1 and a != b for size, a, b in sizes) else y.as_strided(x.shape, x.stride())


class AttnInject(nn.Module):
    """Applies an attention module to a tensor of any layout.

    `y = A(x)` with the paper start, `y = x + (alpha * (A(x) - x)).to(x.dtype)` with the identity start.
    There `alpha` is zero, so the output equals the input bit for bit while `A(x)` is finite, and `alpha`
    has a gradient from the first step.

    Args:
        attention: Any module (N, C, H, W) -> (N, C, H, W).
        layout: `NCHW`, `NHWC`, `NLC`, `NCDHW` or `NDHWC`.
        grid: Size of the grid and number of prefix tokens (NLC only).
        identity: Whether to start as the identity.
        stride: Of the average pool that follows, if the module replaces a convolution with a stride.

    Shape:
        Input and output: (N, C, H, W), (N, H, W, C), (N, L, C), (N, C, T, H, W) or (N, T, H, W, C).
        With a stride s, (N, C, H, W) -> (N, C, ceil(H / s), ceil(W / s)).
    """

    alpha: nn.Parameter | None
    # The edit that inserted it, so that a model carries its own edits.
    edit: Edit | None = None
    # What it replaces, so that it can be removed again; None if it replaces nothing.
    replaced: Replaced | None = None
    # Whether it returns its input; see `surgery.bypass`.
    bypassed: bool = False
    # The model's `origin.Origin`, the same in all its inserted modules.
    origin: object = None

    def __init__(
        self,
        attention: nn.Module,
        *,
        layout: str = "NCHW",
        grid: TokenGrid | None = None,
        identity: bool = False,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.layout = layout
        self.grid = grid
        self.stride = stride
        # Shape (1,), not (): FSDP2 refuses scalars.
        self.register_parameter("alpha", nn.Parameter(torch.zeros(1)) if identity else None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply attention to `x` in its own layout."""
        if self.bypassed:
            return x
        y = in_layout(self.layout, self.attention, x, self.grid)
        if self.stride > 1:
            y = F.avg_pool2d(y, self.stride, self.stride, ceil_mode=True)
        if self.alpha is None:
            return y
        return _like(x, x + (self.alpha * (y - x)).to(x.dtype))

    def extra_repr(self) -> str:
        """Layout and start."""
        start = "paper" if self.alpha is None else "identity"
        pool = f", stride={self.stride}" if self.stride > 1 else ""
        return f"layout={self.layout}, start={start}{pool}"


def inserted_modules(model: nn.Module) -> dict[str, AttnInject]:
    """Every inserted module of a model, by qualified name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, AttnInject)}


def inserted_by_site(model: nn.Module) -> dict[str, AttnInject]:
    """Every inserted module by the block that holds it, `layer1.0`; a block's second one is `layer1.0#1`."""
    found = {}
    for path, module in inserted_modules(model).items():
        site, _, child = path.rpartition(".")
        number = child.removeprefix("attn_inject").removeprefix("_")
        found[f"{site}#{number}" if number else site] = module
    return found


def recorded_edits(model: nn.Module) -> tuple[Edit, ...]:
    """The edits of a model in the order of their modifications, under their names in `model`."""
    sources = {id(seen): name for name, module in model.named_modules() if (seen := seen_by(module))}
    edits = [
        _named_as_now(module.edit, name.rpartition(".")[0], module.grid, sources)
        for name, module in inserted_modules(model).items()
        if module.edit is not None
    ]
    return tuple(sorted(edits, key=lambda edit: edit.operation))


def _named_as_now(edit: Edit, block: str, grid: TokenGrid | None, sources: Mapping[int, str]) -> Edit:
    """An edit under the current names of its block and of the module that shows the size of its grid."""
    source, seen = edit.site.source, grid.seen if grid is not None else None
    if source is not None and id(seen) in sources:
        source = replace(source, name=sources[id(seen)])
    return replace(edit, site=replace(edit.site, name=block, source=source))


def operations(model: nn.Module) -> int:
    """How many modifications a model has had."""
    return max((edit.operation + 1 for edit in recorded_edits(model)), default=0)
