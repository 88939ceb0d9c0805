"""Small helpers that several rooms' tests share: models without weights, generic positions, tiny blocks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import timm
import torch
import torchvision
from torch import nn

from attn_inject.models.inputs import InputSpec
from attn_inject.request import Plan, as_specs
from attn_inject.sites.finder import find
from attn_inject.sites.findings import Findings
from attn_inject.surgery import apply
from attn_inject.surgery.decide import decide, search
from attn_inject.surgery.edit import Edit


def build(name: str, *, meta: bool = False, **arguments: Any) -> nn.Module:
    """A timm model, or a torchvision one behind `torchvision/`, in eval mode."""
    torch.manual_seed(0)
    with torch.device("meta" if meta else "cpu"):
        if name.startswith("torchvision/"):
            return torchvision.models.get_model(name.partition("/")[2], weights=None, **arguments).eval()
        return timm.create_model(name, **arguments).eval()


def size_of(model: nn.Module) -> tuple[int, ...]:
    """(C, H, W) that a model was built for."""
    return tuple(getattr(model, "default_cfg", {}).get("input_size", (3, 224, 224)))


def find_in(model: nn.Module, **options: Any) -> Findings:
    """The findings of a model at its own input size."""
    return find(model, InputSpec(size_of(model)), **options)


def kinds(findings: Findings) -> Counter[tuple[str, str, int]]:
    """How many sites of which class, layout and stage."""
    return Counter((item.site.block, item.site.layout, item.site.stage) for item in findings.found)


def make_generic(model: nn.Module, seed: int = 0) -> nn.Module:
    """Set every parameter of at most one dimension and every `gain` to U(0.5, 1.5)."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim <= 1 or name.endswith("gain"):
            nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def modify(
    model: nn.Module,
    attention: str,
    *,
    size: tuple[int, ...] | None = None,
    start: str = "identity",
    **plan: Any,
) -> tuple[Edit, ...]:
    """Insert `attention` into a model, in place."""
    request = Plan(attention=as_specs(attention), **plan)
    findings = search(model, InputSpec(size or size_of(model)), request)
    decision = decide(model, findings, request, start=start)
    apply.apply_edits(model, decision.edits)
    return decision.edits


def set_alphas(model: nn.Module, value: float) -> None:
    """Set the `alpha` of every inserted module."""
    for name, parameter in model.named_parameters():
        if name.endswith("attn_inject.alpha"):
            nn.init.constant_(parameter, value)
