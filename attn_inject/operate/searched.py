"""A model that is searched for sites once, for any number of plans."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from attn_inject.cost.cost import Cost
from attn_inject.cost.count import Counted, count
from attn_inject.errors import ModelError, NoSiteError
from attn_inject.models.loaded import LoadedModel
from attn_inject.operate.load_model import load_model
from attn_inject.operate.model_names import Wanted
from attn_inject.request import Plan
from attn_inject.sites.findings import Findings
from attn_inject.surgery.decide import search


@dataclass(frozen=True)
class SearchedModel:
    """One model with its residual blocks.

    Attributes:
        name: What the user calls it.
        loaded: The model and how to call it; without values if only shapes are needed.
        searched: Its blocks, or why there are none to act on.
        reload: Builds it again with values, if `loaded` has none or must not be changed.
    """

    name: str
    loaded: LoadedModel
    searched: Findings | NoSiteError
    reload: Callable[[], LoadedModel]

    @property
    def source(self) -> str:
        """The model's source."""
        return self.loaded.provenance.source

    @property
    def model(self) -> nn.Module:
        """The model as it was searched."""
        return self.loaded.model

    @property
    def findings(self) -> Findings:
        """Its blocks.

        Raises:
            NoSiteError: There are none.
        """
        if isinstance(self.searched, NoSiteError):
            raise self.searched
        return self.searched

    @cached_property
    def base(self) -> Counted:
        """What the untouched model costs; only its parameters if a count of the rest fails."""
        try:
            return count(self.loaded.model, self.loaded.inputs)
        except ModelError as error:
            params = sum(parameter.numel() for parameter in self.loaded.model.parameters())
            return Counted(cost=Cost(params=params), uncountable=error.message)

    @property
    def counted(self) -> Counted:
        """What the untouched model costs.

        Raises:
            ModelError: It cannot be counted.
        """
        if self.base.uncountable:
            raise ModelError(self.base.uncountable, hint="Only its parameters are known.")
        return self.base


# Architectures of the libraries do not change while the program runs; without values they are small.
_KNOWN: OrderedDict[Hashable, SearchedModel] = OrderedDict()
_MOST_KNOWN = 32


def search_shapes(wanted: Wanted, plan: Plan) -> SearchedModel:
    """Load a model without values, or take the given object, and search it for what a plan acts on.

    Args:
        wanted: The model.
        plan: What it is searched for.

    Raises:
        UnknownNameError: No such model.
        ModelError: The model cannot be built or run.
    """
    is_object = isinstance(wanted.model, nn.Module)
    key = (repr(wanted.model), plan.placement, plan.blocks, plan.at)
    if not is_object and key in _KNOWN:
        _KNOWN.move_to_end(key)
        return _KNOWN[key]
    loaded = load_model(wanted.model, shapes_only=True)
    name = loaded.provenance.name if is_object else wanted.name
    found: Findings | NoSiteError
    try:
        found = search(loaded.model, loaded.inputs, plan)
    except NoSiteError as error:
        found = error
    searched = SearchedModel(name, loaded, found, reload=lambda: load_model(wanted.model))
    if not is_object and searched.source in ("timm", "torchvision"):
        _KNOWN[key] = searched
        if len(_KNOWN) > _MOST_KNOWN:
            _KNOWN.popitem(last=False)
    return searched
