"""Insert an attention module into any timm or torchvision model, and prove that the model survived.

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
    from attn_inject.attention.contract import AttentionModule
    from attn_inject.attention.factory import create_attention
    from attn_inject.attention.nam import sparsity_penalty
    from attn_inject.cost.cost import Cost
    from attn_inject.cost.handles import flop_handles
    from attn_inject.errors import AttnInjectError
    from attn_inject.files.describe import describe
    from attn_inject.files.restore import restore
    from attn_inject.insight.statistics import AttentionStatistics, attention_statistics
    from attn_inject.operate.compare import compare
    from attn_inject.operate.diff import diff
    from attn_inject.operate.edits import Edits
    from attn_inject.operate.export import export
    from attn_inject.operate.fit import fit
    from attn_inject.operate.hub import push
    from attn_inject.operate.inject import find_sites, inject
    from attn_inject.operate.injected import Injected
    from attn_inject.operate.inserted import inserted
    from attn_inject.operate.look import look
    from attn_inject.operate.pictures import draw_placements
    from attn_inject.operate.prune import Pruned, prune
    from attn_inject.operate.saving import load, save
    from attn_inject.operate.sites import Sites
    from attn_inject.operate.stats import stats
    from attn_inject.operate.training import attention_parameters, freeze_base, parameter_groups
    from attn_inject.request import AttentionSpec, ModelRequest, Plan
    from attn_inject.results import Report
    from attn_inject.sites.site import Rejection, Site
    from attn_inject.surgery.removal import remove

    __version__: str

__all__ = [
    "AttentionModule",
    "AttentionSpec",
    "AttentionStatistics",
    "AttnInjectError",
    "Cost",
    "Edits",
    "Injected",
    "ModelRequest",
    "Plan",
    "Pruned",
    "Rejection",
    "Report",
    "Site",
    "Sites",
    "__version__",
    "attention_parameters",
    "attention_statistics",
    "compare",
    "create_attention",
    "describe",
    "diff",
    "draw_placements",
    "export",
    "find_sites",
    "fit",
    "flop_handles",
    "freeze_base",
    "inject",
    "inserted",
    "load",
    "look",
    "parameter_groups",
    "prune",
    "push",
    "remove",
    "restore",
    "save",
    "sparsity_penalty",
    "stats",
]

_HOMES = {
    "Report": "attn_inject.results",
    "Cost": "attn_inject.cost.cost",
    "Rejection": "attn_inject.sites.site",
    "Site": "attn_inject.sites.site",
    "Sites": "attn_inject.operate.sites",
    "Edits": "attn_inject.operate.edits",
    "Pruned": "attn_inject.operate.prune",
    "Plan": "attn_inject.request",
    "AttentionModule": "attn_inject.attention.contract",
    "AttentionSpec": "attn_inject.request",
    "AttentionStatistics": "attn_inject.insight.statistics",
    "AttnInjectError": "attn_inject.errors",
    "Injected": "attn_inject.operate.injected",
    "ModelRequest": "attn_inject.request",
    "attention_parameters": "attn_inject.operate.training",
    "attention_statistics": "attn_inject.insight.statistics",
    "compare": "attn_inject.operate.compare",
    "create_attention": "attn_inject.attention.factory",
    "describe": "attn_inject.files.describe",
    "diff": "attn_inject.operate.diff",
    "draw_placements": "attn_inject.operate.pictures",
    "export": "attn_inject.operate.export",
    "find_sites": "attn_inject.operate.inject",
    "fit": "attn_inject.operate.fit",
    "flop_handles": "attn_inject.cost.handles",
    "freeze_base": "attn_inject.operate.training",
    "inject": "attn_inject.operate.inject",
    "inserted": "attn_inject.operate.inserted",
    "load": "attn_inject.operate.saving",
    "look": "attn_inject.operate.look",
    "parameter_groups": "attn_inject.operate.training",
    "prune": "attn_inject.operate.prune",
    "push": "attn_inject.operate.hub",
    "remove": "attn_inject.surgery.removal",
    "restore": "attn_inject.files.restore",
    "save": "attn_inject.operate.saving",
    "sparsity_penalty": "attn_inject.attention.nam",
    "stats": "attn_inject.operate.stats",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name == "zoo":
        return importlib.import_module("attn_inject.zoo")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "timm", "zoo"])


def _version() -> str:
    from attn_inject.versions import VERSION

    return VERSION
