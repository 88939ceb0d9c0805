"""How to call a model: the shapes of its input, and example inputs made from them.

Legend: N batch, C channels, H rows, W columns, T frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree

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
        example: Arguments as the user gave them, `(args, kwargs)`; batch size and device are theirs.
        training_example: The same for a forward in training mode, where it wants targets too.
    """

    size: tuple[int, ...] | None = None
    example: Arguments | None = field(default=None, compare=False)
    training_example: Arguments | None = field(default=None, compare=False)

    @classmethod
    def from_example(cls, example: Any) -> InputSpec:
        """From `example_input=`: a tensor, a tuple of positional arguments or a dictionary of keywords."""
        if isinstance(example, torch.Tensor):
            size = tuple(example.shape[1:])
            return cls(size=size, example=((example,), {}))
        if isinstance(example, dict):
            return cls(example=((), dict(example)))
        return cls(example=(tuple(example), {}))

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(H, W) in pixels, or None when no image is among the arguments."""
        if self.size is not None:
            return self.size[-2], self.size[-1]
        if self.example is None:
            return None
        images = [leaf for leaf in pytree.tree_leaves(self.example) if is_image(leaf)]
        return (images[0].shape[-2], images[0].shape[-1]) if images else None

    def make(
        self, batch_size: int = 1, *, device: str = "cpu", seed: int = 0, training: bool = False
    ) -> Arguments:
        """Arguments of one forward: normal random numbers from `seed`, or the example moved to `device`."""
        example = self.training_example if training and self.training_example else self.example
        if example is not None:
            moved = pytree.tree_map_only(torch.Tensor, lambda t: t.to(device), example)
            return moved[0], moved[1]
        if self.size is None:
            raise ValueError("an input needs a size or an example")
        if device == "meta":
            return (torch.empty(batch_size, *self.size, device="meta"),), {}
        generator = torch.Generator().manual_seed(seed)
        return (torch.randn(batch_size, *self.size, generator=generator).to(device),), {}


def is_image(value: Any) -> bool:
    """Whether a value is a floating tensor of rank 3 or more, (..., H, W)."""
    return isinstance(value, torch.Tensor) and value.ndim >= 3 and value.is_floating_point()
