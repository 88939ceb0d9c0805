"""Looks up the known result of every operation of a forward, and compares it with torch's."""

from __future__ import annotations

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree


class Asking(TorchFunctionMode):
    """Counts how often an answer is known, and compares each with torch's."""

    def __init__(self, known):
        super().__init__()
        self.known = known
        self.answers = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        answer = self.known(func, args, kwargs)
        if answer is not None:
            self.answers.append(func)
        expected = func(*args, **kwargs)
        if answer is not None:
            for mine, theirs in zip(pytree.tree_leaves(answer), pytree.tree_leaves(expected), strict=True):
                assert (mine.shape, mine.dtype, mine.device) == (theirs.shape, theirs.dtype, theirs.device)
                assert not mine.is_meta or mine.stride() == theirs.stride()
                assert not mine.requires_grad
                assert mine.is_meta or torch.equal(mine, theirs)
            assert (answer is args[0]) == (expected is args[0])
        return expected
