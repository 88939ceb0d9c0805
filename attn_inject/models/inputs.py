"""How to call a model: the shapes of its input, and example inputs made from them.

Legend: N batch, C channels, H rows, W columns, T frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils import _pytree as pytree

from attn_inject.errors import ModelError, UsageError

_Result = TypeVar("_Result")
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
# What to do about a model that refuses its input.
ANOTHER_INPUT = (
    "Give the size that it was built for, input_size (--input-size C,H,W), or in Python an example_input."
)


@dataclass(frozen=True)
class InputSpec:
    """Makes the arguments of a model's forward.

    Attributes:
        size: (C, H, W) of one image, in pixels; (C, T, H, W) of one video; None when only an example
            is known.
        whole: Whether an example is never cut to one sample, since the model needs its batch.
        example: The user's arguments, `(args, kwargs)`, with their own batch size and device.
        training_example: The same for a forward in training mode, if that needs targets.
    """

    size: tuple[int, ...] | None = None
    whole: bool = False
    example: Arguments | None = field(default=None, compare=False)
    training_example: Arguments | None = field(default=None, compare=False)

    @classmethod
    def from_example(cls, example: Any) -> InputSpec:
        """From `example_input=`: a tensor, a tuple of positional arguments or a dictionary of keywords.

        Raises:
            UsageError: It is something else.
        """
        if isinstance(example, torch.Tensor):
            size = tuple(example.shape[1:])
            return cls(size=size, example=((example,), {}))
        if isinstance(example, dict):
            return cls(example=((), dict(example)))
        if not isinstance(example, tuple | list):
            raise UsageError(
                f"example_input is a {type(example).__name__}.",
                hint="Give a tensor, a tuple of positional arguments or a dictionary of keywords.",
            )
        return cls(example=(tuple(example), {}))

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(H, W) in pixels, or None when no image is among the arguments."""
        if self.size is not None:
            return (self.size[-2], self.size[-1]) if len(self.size) > 1 else None
        if self.example is None:
            return None
        images = [leaf for leaf in pytree.tree_leaves(self.example) if is_image(leaf)]
        return (images[0].shape[-2], images[0].shape[-1]) if images else None

    @property
    def batch(self) -> int | None:
        """Samples of an example that can be cut to one: all tensors have them first, one is an image."""
        tensors = [leaf for leaf in pytree.tree_leaves(self.example) if isinstance(leaf, torch.Tensor)]
        if self.whole or not any(is_image(tensor) and tensor.ndim > 3 for tensor in tensors):
            return None
        sizes = {len(tensor) if tensor.ndim else None for tensor in tensors}
        return sizes.pop() if len(sizes) == 1 else None

    def make(
        self,
        batch_size: int = 1,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        training: bool = False,
    ) -> Arguments:
        """Arguments of one forward: normal random numbers from `seed`, or a copy of the example on `device`.

        A model may write to its input, so it never gets the example itself. An example keeps its types, and
        its batch size unless one sample is asked for and the batch is known. A single image is doubled for
        training, since a batch norm refuses one number per channel there.
        """
        example = self.training_example if training and self.training_example else self.example
        if example is not None:
            if batch_size == 1 and not training and self.batch is not None:
                example = pytree.tree_map_only(torch.Tensor, lambda tensor: tensor[:1], example)
            moved = pytree.tree_map_only(torch.Tensor, lambda tensor: _copied(tensor, device), example)
            if training and batch_size > 1 and self.size is not None and moved[0][0].shape[0] == 1:
                return (torch.cat([moved[0][0], moved[0][0].flip(-1)]),), {}
            return moved[0], moved[1]
        if self.size is None:
            raise ValueError("an input needs a size or an example")
        if device == "meta":
            return (torch.empty(batch_size, *self.size, dtype=dtype, device="meta"),), {}
        generator = torch.Generator().manual_seed(seed)
        return (torch.randn(batch_size, *self.size, generator=generator).to(device, dtype),), {}


def _copied(tensor: torch.Tensor, device: str) -> torch.Tensor:
    moved = tensor.detach().to(device)
    copy = moved.clone() if moved.data_ptr() == tensor.data_ptr() else moved
    return copy.requires_grad_(tensor.requires_grad)


def on_one_sample(use: Callable[[InputSpec], _Result], inputs: InputSpec) -> _Result:
    """What `use` makes of inputs of one sample, or of the whole example if the model needs its batch.

    Raises:
        ModelError: Neither runs.
    """
    if inputs.batch in (None, 1):
        return use(inputs)
    try:
        return use(inputs)
    except ModelError:
        return use(dataclasses.replace(inputs, whole=True))


def dtype_of(model: nn.Module) -> torch.dtype:
    """The dtype of a model: that of its first floating-point parameter."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def as_size(size: int | Sequence[int]) -> tuple[int, ...]:
    """224 and (224, 320) as (3, H, W), like `--input-size`; longer sizes stay as they are."""
    sizes = (size, size) if isinstance(size, int) else tuple(size)
    return (3, *sizes) if len(sizes) == 2 else sizes


def is_image(value: Any) -> bool:
    """Whether a value is a floating tensor of rank 3 or more, (..., H, W)."""
    return isinstance(value, torch.Tensor) and value.ndim >= 3 and value.is_floating_point()
