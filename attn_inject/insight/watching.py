"""Watches the inserted modules of a model while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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
    """

    site: str
    module: AttnInject
    x: torch.Tensor
    y: torch.Tensor
    gates: Mapping[str, torch.Tensor]

    def contribution(self) -> torch.Tensor | None:
        """|y - x| / |x| of each sample, (N,); None if the module replaces another one."""
        if self.x.shape != self.y.shape or self.module.edit is None or self.module.edit.replaces:
            return None
        x, y = self.x.detach(), self.y.detach()
        change = torch.linalg.vector_norm((y - x).flatten(1), dim=1, dtype=torch.float32)
        size = torch.linalg.vector_norm(x.flatten(1), dim=1, dtype=torch.float32)
        share: torch.Tensor = change / size.clamp_min(torch.finfo(torch.float32).tiny)
        return share


@contextmanager
def watching(model: nn.Module, receive: Callable[[Call], None]) -> Iterator[None]:
    """Within the context `receive` gets each call of an inserted module that is not bypassed."""
    with ExitStack() as stack:
        for site, module in inserted_by_site(model).items():
            gates: dict[str, torch.Tensor] = {}
            stack.enter_context(watched(module.attention, gates.__setitem__))
            handle = module.register_forward_hook(_hook(site, gates, receive))
            stack.callback(handle.remove)
        yield


def _hook(
    site: str, gates: dict[str, torch.Tensor], receive: Callable[[Call], None]
) -> Callable[[AttnInject, Any, torch.Tensor], None]:
    def hook(module: AttnInject, given: Any, output: torch.Tensor) -> None:
        if not module.bypassed:
            receive(Call(site, module, given[0], output, dict(gates)))
        gates.clear()

    return hook
