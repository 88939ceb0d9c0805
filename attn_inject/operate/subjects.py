"""A model to put attention into on paper: found, searched and counted once, for every row about it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from torch import nn

from attn_inject.cost.count import Counted, count
from attn_inject.errors import NoSiteError
from attn_inject.models.loaded import LoadedModel
from attn_inject.operate.model_names import Wanted
from attn_inject.operate.pipeline import load_model
from attn_inject.request import Plan
from attn_inject.sites.findings import Findings
from attn_inject.surgery.decide import search

# Those of the libraries do not change while the program runs; the outlines and counts are small.
_KNOWN: OrderedDict[Hashable, Subject] = OrderedDict()
_MOST_KNOWN = 32


@dataclass(frozen=True)
class Subject:
    """One model, without its weights.

    Attributes:
        name: What the user calls it.
        loaded: The model and how to call it.
        base: What the untouched model costs.
        findings: Its blocks, or why `--at` found none.
    """

    name: str
    loaded: LoadedModel
    base: Counted
    findings: Findings | NoSiteError

    @property
    def source(self) -> str:
        """Where the model comes from."""
        return self.loaded.provenance.source


def subject_of(wanted: Wanted, plan: Plan) -> Subject:
    """Load the outline of a model, find its blocks and count it.

    Args:
        wanted: The model.
        plan: What it is searched for.

    Raises:
        UnknownNameError: No such model.
        ModelError: The model cannot be built or run.
    """
    key = (repr(wanted.model), plan.placement, plan.blocks, plan.at)
    if not isinstance(wanted.model, nn.Module) and key in _KNOWN:
        _KNOWN.move_to_end(key)
        return _KNOWN[key]
    loaded = load_model(wanted.model, shapes_only=True)
    name = loaded.provenance.name if isinstance(wanted.model, nn.Module) else wanted.name
    findings: Findings | NoSiteError
    try:
        findings = search(loaded.model, loaded.inputs, plan)
    except NoSiteError as error:
        findings = error
    subject = Subject(name, loaded, count(loaded.model, loaded.inputs), findings)
    if isinstance(wanted.model, nn.Module) or subject.source not in ("timm", "torchvision"):
        return subject
    _KNOWN[key] = subject
    if len(_KNOWN) > _MOST_KNOWN:
        _KNOWN.popitem(last=False)
    return subject
