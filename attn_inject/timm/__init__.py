"""Modified architectures as ordinary names of timm.

    import timm
    import attn_inject.timm

    model = timm.create_model("resnet50_ela_l", pretrained=True, num_classes=10)

A name is made by a rule (an architecture of timm, `_`, and the name of an attention module with `_` for `-`)
or by `register`, with any placement, sites and options. Everything in timm that takes a name then accepts it:
`create_model`, `is_model`, `list_models`, pretrained tags, `resolve_data_config`, its training scripts
(`python -m attn_inject.timm train.py ...`).

As everywhere in timm, the keys of a state dict depend only on the name. So a model with a name by the rule
always has `alpha`: zero with `pretrained=True`, which is the identity start, and one without, which is the
paper start up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from attn_inject.request import Attention, EditOptions, Plan
from attn_inject.timm import names
from attn_inject.timm.architecture import Architecture

__all__ = ["register"]


def register(
    name: str,
    *,
    base: str,
    attn: Attention,
    input_size: Sequence[int] | None = None,
    **options: Unpack[EditOptions],
) -> None:
    """Give a modified architecture a name in timm.

    Registering twice with the same values is allowed, so that a notebook's cell can be run again.

    Args:
        name: Letters, digits and `_`; not `.`, which begins a pretrained tag.
        base: The architecture in timm that is modified; its pretrained tags become the new name's.
        attn: `NAME`, `NAME:option=value`, `GLOB=NAME`, or several, as for `attn_inject.inject`.
        input_size: (C, H, W) in pixels, if it is not timm's size for the base.
        options: As in `attn_inject.inject`: `placement`, `where`, `skip`, `stage`, `blocks`, `at`, `stem`,
            `strict`, and `start`: `auto` (`alpha` is zero with pretrained weights, else one), `identity`
            (always zero) or `paper` (no `alpha`, as when a module is replaced).

    Raises:
        UsageError: The name is malformed or taken.
        UnknownNameError: No such base, attention module or placement.
    """
    plan = Plan.of(attn, **options, check="off")
    size = tuple(input_size) if input_size is not None else None
    names.register(Architecture(name=name, base=base, plan=plan, input_size=size))


names.install()
