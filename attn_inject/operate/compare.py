"""Two models side by side; they may already hold attention, as saved files do."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from attn_inject.cost.comparison import Comparison, Inserted, Side
from attn_inject.cost.count import Counted, count
from attn_inject.errors import UsageError
from attn_inject.operate.containment import contained
from attn_inject.operate.load_model import load_model
from attn_inject.operate.model_names import Model, expand
from attn_inject.surgery.apply import spec_label
from attn_inject.surgery.inserted import inserted_modules
from attn_inject.versions import versions


@contained()
def compare(a: Model, b: Model) -> Comparison:
    """What two models cost, and each of their attention modules.

    Args:
        a: A module, a name, a request or a saved file.
        b: Another.

    Raises:
        UsageError: A glob or list names several models.
        UnknownNameError: No such model.
        ModelError: A model cannot be built or run.
        FileError: A saved file is unreadable or untrusted.
    """
    return Comparison(a=loaded_side(a)[1], b=loaded_side(b)[1], versions=versions())


def loaded_side(model: Model) -> tuple[nn.Module, Side]:
    """A model without values, where those are not in a file, and what it costs.

    Raises:
        UsageError: A glob or list names several models.
    """
    wanted = expand(model)
    if len(wanted) != 1:
        raise UsageError(f"{len(wanted)} models are named.", hint="Name two models to compare.")
    loaded = load_model(wanted[0].model, shapes_only=True)
    counted = count(loaded.model, loaded.inputs)
    side = Side(
        model=wanted[0].name,
        source=loaded.provenance.source,
        figures=counted.cost,
        inserted=tuple(inserted_of(loaded.model, counted)),
    )
    return loaded.model, side


def inserted_of(model: nn.Module, counted: Counted) -> Iterator[Inserted]:
    """The attention modules of a modified model, with what each costs.

    Args:
        model: It.
        counted: What `count` returned for it.
    """
    for name, module in inserted_modules(model).items():
        if module.edit is None:
            continue
        yield Inserted(
            module=name,
            attention=spec_label(module.edit),
            placement=module.edit.placement,
            figures=counted.by_module[name].cost,
        )
