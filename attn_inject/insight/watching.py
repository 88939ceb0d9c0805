"""Watches the inserted modules of a model while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from attn_inject.attention.contract import watched
from attn_inject.surgery.inserted import AttnInject, inserted_by_site


@dataclass(frozen=True)
class Call:
    """One call of an inserted module.

    Attributes:
        site: Of the module, as `inserted_by_site` calls it.
        module: The inserted module.
        x: What it was given, in the layout of its site; the first axis is that of the samples.
        y: What it returned.
        gates: Its attention's gates by name, (N, c, h, w) each; N is larger than that of `x` where frames
            are taken for samples.
        inner: What its attention was given and what it returned, (N, C, H, W) each; None where only the gate
            of the attention was asked for.
    """

    site: str
    module: AttnInject
    x: torch.Tensor
    y: torch.Tensor
    gates: Mapping[str, torch.Tensor]
    inner: tuple[torch.Tensor, torch.Tensor] | None

    def contribution(self) -> torch.Tensor | None:
        """|y - x| / |x| of each sample, (N,); None if the module replaces another one."""
        if self.x.shape != self.y.shape or self.module.edit is None or self.module.edit.replaces:
            return None
        return _relative(self.x, self.y)

    def change(self) -> torch.Tensor | None:
        """|A(x) - x| / |x| of each of its attention's samples, (N,); None if that replaces a layer."""
        if self.inner is None or self.module.edit is None or self.module.edit.replaces:
            return None
        return _relative(*self.inner)


def _relative(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x, y = x.detach(), y.detach()
    change = torch.linalg.vector_norm((y - x).flatten(1), dim=1, dtype=torch.float32)
    size = torch.linalg.vector_norm(x.flatten(1), dim=1, dtype=torch.float32)
    share: torch.Tensor = change / size.clamp_min(torch.finfo(torch.float32).tiny)
    return share


@contextmanager
def watching(model: nn.Module, receive: Callable[[Call], None]) -> Iterator[None]:
    """Within the context `receive` gets each call of an inserted module that is not bypassed."""
    with ExitStack() as stack:
        for site, module in inserted_by_site(model).items():
            call = _Collected()
            stack.enter_context(watched(module.attention, call.gates.__setitem__))
            for handle in (
                module.attention.register_forward_hook(call.keep),
                module.register_forward_hook(call.ended(site, receive)),
            ):
                stack.callback(handle.remove)
        yield


@dataclass
class _Collected:
    """What the hooks of one inserted module note during a call."""

    gates: dict[str, torch.Tensor] = field(default_factory=dict)
    inner: tuple[torch.Tensor, torch.Tensor] | None = None

    def keep(self, attention: nn.Module, given: Any, output: torch.Tensor) -> None:
        """Note what the attention was given and returned."""
        self.inner = given[0], output

    def ended(
        self, site: str, receive: Callable[[Call], None]
    ) -> Callable[[AttnInject, Any, torch.Tensor], None]:
        """A hook that hands the call over and forgets it."""

        def hook(module: AttnInject, given: Any, output: torch.Tensor) -> None:
            if not module.bypassed:
                receive(Call(site, module, given[0], output, dict(self.gates), self.inner))
            self.gates.clear()
            self.inner = None

        return hook
