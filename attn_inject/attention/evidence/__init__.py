"""Where each built-in module is from, as data: read in code, read in the paper, or assumed, and why.

One record per file of modules, named after it. Reading them imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attn_inject.attention.evidence.context import CONTEXT
from attn_inject.attention.evidence.gates import GATES
from attn_inject.attention.evidence.layers import LAYERS
from attn_inject.attention.evidence.records import Evidence

EVIDENCE: Final[Mapping[str, Evidence]] = {**GATES, **CONTEXT, **LAYERS}


def evidence_of(target: str) -> Evidence | None:
    """The record of `attn_inject.attention.se:SE`; None for what is not built in."""
    module = target.partition(":")[0]
    return EVIDENCE.get(module.rpartition(".")[2]) if module.startswith("attn_inject.attention.") else None
