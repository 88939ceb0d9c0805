"""The cost of inserted modules: each distinct one is counted once and separately, not once per site.

fvcore's rules look at one operation at a time, so the figures of a model are the sum over its parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

from torch import nn

from attn_inject.cost.cost import Cost
from attn_inject.cost.count import Counted, by_frequency, count_call
from attn_inject.cost.deduplication import fingerprint

SiteCall = tuple[nn.Module, tuple[int, ...], int]  # module, shape of its input with batch, calls per forward

# A table of many models counts the same few modules again and again; entries hold shapes, no tensors.
_COUNTED: dict[Hashable, Counted] = {}


def module_count(module: nn.Module, shape: tuple[int, ...]) -> Counted:
    """What one call of `module` with a tensor of `shape` costs, and what is not counted.

    Modules are compared by everything that they hold: classes, attributes, tensor shapes, children.

    Args:
        module: An inserted module; its input is one tensor.
        shape: Of that tensor, batch dimension included.

    Raises:
        ModelError: The module does not run on such a tensor.
    """
    try:
        key = (fingerprint(module), tuple(shape))
        known = key in _COUNTED
    except (TypeError, RecursionError):  # it holds something unhashable, or itself: no key, so count anew
        return count_call(module, shape)
    if not known:
        _COUNTED[key] = count_call(module, shape)
    return _COUNTED[key]


def module_cost(module: nn.Module, shape: tuple[int, ...]) -> Cost:
    """The figures of `module_count`."""
    return module_count(module, shape).cost


def site_costs(sites: Iterable[SiteCall]) -> list[Cost]:
    """The cost of every site over all its calls in one forward of the model."""
    return [module_cost(module, shape).times(calls) for module, shape, calls in sites]


def with_sites(base: Counted, sites: Iterable[SiteCall], *, removed: Iterable[SiteCall] = ()) -> Counted:
    """What the modified model costs: the base and every site, without what was replaced.

    Args:
        base: Of the untouched model; `by_module` stays the base's.
        sites: What was inserted.
        removed: The calls of the modules that were replaced.
    """
    cost, uncounted = base.cost, Counter(base.uncounted)
    for module, shape, calls in removed:
        gone = module_count(module, shape)
        cost -= gone.cost.times(calls)
        uncounted.subtract({kind: times * calls for kind, times in gone.uncounted.items()})
    for module, shape, calls in sites:
        site = module_count(module, shape)
        cost += site.cost.times(calls)
        uncounted.update({kind: times * calls for kind, times in site.uncounted.items()})
    left = by_frequency(uncounted)
    return Counted(cost=cost, uncounted=left, by_module=base.by_module, uncountable=base.uncountable)
