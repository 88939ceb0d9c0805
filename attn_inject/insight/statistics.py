"""Figures of the inserted modules while a model is trained, for TensorBoard, wandb or a plain dictionary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from attn_inject.errors import NoSiteError, UsageError
from attn_inject.insight.moments import Moments, edges
from attn_inject.insight.watching import Call, watching
from attn_inject.surgery.inserted import AttnInject, inserted_by_site

_FIGURES = ("mean", "std", "near_0", "near_1")


class AttentionStatistics:
    """What the inserted modules did since the context began, or since `reset`.

    Everything stays on the model's device until it is read.
    """

    def __init__(self, modules: dict[str, AttnInject], every: int) -> None:
        self._modules = modules
        self._every = every
        self.reset()

    def reset(self) -> None:
        """Forget everything so far."""
        self._calls: dict[str, int] = defaultdict(int)
        self._gates: dict[str, Moments] = {}
        self._contributions: dict[str, Moments] = {}

    def scalars(self) -> dict[str, float]:
        """Every figure by name; waits for the device once.

        `layer1.0/channels/mean`, `/std`, `/near_0` and `/near_1` of each gate, where near means closer than
        0.05 and a share from 0 to 1; `layer1.0/contribution`, the mean over samples of |y - x| / |x|, for a
        module with input x and output y; and `layer1.0/alpha` where the module started as the identity.
        """
        names: list[str] = []
        figures: list[torch.Tensor] = []
        for site, module in self._modules.items():
            for name, moments in self._gates.items():
                if name.rpartition("/")[0] == site:
                    names += [f"{name}/{figure}" for figure in _FIGURES]
                    figures.append(moments.figures())
            if site in self._contributions:
                names.append(f"{site}/contribution")
                figures.append(self._contributions[site].mean.reshape(1))
            if module.alpha is not None:
                names.append(f"{site}/alpha")
                figures.append(module.alpha.detach().float())
        if not names:
            return {}
        device = figures[0].device
        values: list[float] = torch.cat([figure.to(device) for figure in figures]).tolist()
        return dict(zip(names, values, strict=True))

    def histograms(self) -> dict[str, tuple[list[float], list[float]]]:
        """For each gate, `layer1.0/channels`: how many values are in each part, and the parts' limits.

        Twenty equal parts of [0, 1]; values beyond it count in the outermost ones.
        """
        return {name: (moments.histogram.tolist(), edges()) for name, moments in self._gates.items()}

    def _receive(self, call: Call) -> None:
        self._calls[call.site] += 1
        if (self._calls[call.site] - 1) % self._every:
            return
        for name, gate in call.gates.items():
            self._gates.setdefault(f"{call.site}/{name}", Moments()).add(gate)
        contribution = call.contribution()
        if contribution is not None:
            self._contributions.setdefault(call.site, Moments()).add(contribution)


@contextmanager
def attention_statistics(model: nn.Module, *, every: int = 1) -> Iterator[AttentionStatistics]:
    """Within the context, collect what the inserted modules of a model do; the model computes as before.

    A model that is compiled with `torch.compile` must be called for the first time within the context.

    Args:
        model: A modified model, in training or evaluation, on any device.
        every: Of how many calls of each module one is counted; 10 costs a tenth.

    Raises:
        NoSiteError: The model has no inserted module.
        UsageError: `every` is not a whole number from 1.
    """
    modules = inserted_by_site(model)
    if not modules:
        raise NoSiteError(
            f"This {type(model).__name__} holds no attention module that attn-inject inserted.",
            hint="Pass result.model of attn_inject.inject, or the result of attn_inject.load.",
        )
    if not isinstance(every, int) or every < 1:
        raise UsageError(f"every={every} is not accepted; it is a whole number from 1.")
    statistics = AttentionStatistics(modules, every)
    with watching(model, statistics._receive):
        yield statistics
