"""`replace-attention`: instead of the channel or spatial attention that a model already has.

The replaced module stays the same object; see `replace_conv`.
"""

from __future__ import annotations

from torch import nn

from attn_inject.sites.findings import FoundSite
from attn_inject.sites.recording import Recording
from attn_inject.sites.site import Rejection, RejectionCode
from attn_inject.sites.tensors import tensors_of
from attn_inject.surgery.placements.gates import is_attention
from attn_inject.surgery.placements.target import Target


def targets(found: FoundSite, recording: Recording) -> list[Target | Rejection]:
    """The module itself, if it maps one tensor to another of the same shape."""
    if reason := _misfit(found):
        return [Rejection(name=found.site.name, code=RejectionCode.ARITY, reason=reason)]
    return [Target(site=found.site, shape=found.shape)]


def attention_of(model: nn.Module) -> tuple[str, ...]:
    """Names of a model's own attention modules, the outermost of nested ones."""
    names: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{other}.") for other in names)
        if not inside and is_attention(module):
            names.append(name)
    return tuple(names)


def _misfit(found: FoundSite) -> str | None:
    """Why attention cannot replace a module, or None if it can."""
    tensors = [tensor for _, tensor in tensors_of([*found.call.args, *found.call.kwargs.values()])]
    if len(tensors) != 1 or found.site.element is not None:
        return "it takes or returns more than one tensor"
    if tuple(tensors[0].shape) != found.shape:
        return f"it maps {tuple(tensors[0].shape)} to {found.shape}, and attention keeps the shape"
    return None
