"""Write an attention module into any timm or torchvision model, and prove that the model survived.

    import attn_inject

    result = attn_inject.inject("resnet50", "ela-l")
    attn_inject.save(result, "model.pt")
    model = attn_inject.load("model.pt")

Every name is loaded when it is first used, so that importing this package imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attn_inject.api import (
        Injected,
        attention_parameters,
        compare,
        create_attention,
        describe,
        export,
        find_sites,
        fit,
        flop_handles,
        freeze_base,
        inject,
        load,
        parameter_groups,
        remove,
        restore,
        save,
        sparsity_penalty,
        stats,
    )
    from attn_inject.attention.contract import AttentionModule
    from attn_inject.errors import AttnInjectError
    from attn_inject.plan import AttentionSpec, ModelRequest

    __version__: str

__all__ = [
    "AttentionModule",
    "AttentionSpec",
    "AttnInjectError",
    "Injected",
    "ModelRequest",
    "__version__",
    "attention_parameters",
    "compare",
    "create_attention",
    "describe",
    "export",
    "find_sites",
    "fit",
    "flop_handles",
    "freeze_base",
    "inject",
    "load",
    "parameter_groups",
    "remove",
    "restore",
    "save",
    "sparsity_penalty",
    "stats",
]

_HOMES = {
    "AttentionModule": "attn_inject.attention.contract",
    "AttentionSpec": "attn_inject.plan",
    "AttnInjectError": "attn_inject.errors",
    "ModelRequest": "attn_inject.plan",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name == "zoo":
        return importlib.import_module("attn_inject.zoo")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "attn_inject.api")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from attn_inject.versions import VERSION

    return VERSION
