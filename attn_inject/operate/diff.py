"""What differs between two models: blocks, keys and costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from attn_inject.cost.comparison import Comparison, Inserted, Side
from attn_inject.difference import BlockState, ChangedBlock, Difference, InsertedHere, Reshaped
from attn_inject.models.clone import to_meta
from attn_inject.operate.compare import loaded_side
from attn_inject.operate.containment import contained
from attn_inject.operate.model_names import Model
from attn_inject.results import Report
from attn_inject.surgery.apply import spec_label
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.forward_code import called_base, forward_code, original_code
from attn_inject.surgery.generated import BASE_FORWARD, PREFIX, is_generated, own_class
from attn_inject.surgery.inserted import AttnInject
from attn_inject.surgery.removal import undo
from attn_inject.versions import versions

Keys = Mapping[str, tuple[int, ...]]


@contained()
def diff(a: Model, b: Model) -> Difference:
    """What differs between two models: their blocks as code, the keys of their state dicts, their costs.

    The common case is a model and a file that attn-inject made of it. Two files of one model may have other
    attention. Values of tensors are not compared.

    Args:
        a: A module, a name, a request or a saved file.
        b: Another.

    Raises:
        UsageError: A glob or list names several models.
        UnknownNameError: No such model.
        ModelError: A model cannot be built or run.
        FileError: A saved file is unreadable or untrusted.
    """
    sides = [loaded_side(model) for model in (a, b)]
    costs = Comparison(a=sides[0][1], b=sides[1][1], versions=versions())
    return _difference(_Seen.of(sides[0][0]), _Seen.of(sides[1][0]), costs)


def difference_made(model: nn.Module, edits: Sequence[Edit], report: Report) -> Difference:
    """What differs between a model before and after some edits.

    Args:
        model: After them.
        edits: The last ones of the model.
        report: What was done and what it costs.
    """
    before = to_meta(model)
    undo(before, edits)
    inserted = [
        Inserted(module=item.module, attention=item.attention, placement=report.placement, figures=item.cost)
        for item in report.insertions
    ]
    base = Side(model=report.model, source=report.source, figures=report.base, inserted=())
    name = f"{report.model} with {', '.join(report.attention)}"
    made = Side(model=name, source=report.source, figures=report.result, inserted=tuple(inserted))
    costs = Comparison(a=base, b=made, versions=report.versions)
    return _difference(_Seen.of(before), _Seen.of(model), costs)


@dataclass(frozen=True)
class _Seen:
    """A model with the shapes of its tensors.

    Attributes:
        modules: All modules by name.
        keys: The shapes in its state dict.
    """

    modules: Mapping[str, nn.Module]
    keys: Keys

    @classmethod
    def of(cls, model: nn.Module) -> _Seen:
        return cls(dict(model.named_modules()), _shapes(model.state_dict()))

    def changed(self) -> list[str]:
        """The blocks that hold attention."""
        return [name for name, module in self.modules.items() if is_generated(type(module))]

    def state(self, name: str, other: _Seen) -> BlockState | None:
        """A block, in the words of the other model's if nothing is inserted here."""
        block, theirs = self.modules.get(name), other.modules.get(name)
        if block is None:
            return None
        if is_generated(type(block)):
            return _state(block, forward_code(block), _inserted_in(block))
        if theirs is None or _kind(block) != _kind(theirs):
            return None
        return _state(theirs, original_code(theirs), ())


def _kind(block: nn.Module) -> tuple[type[nn.Module], list[str]]:
    """A block's own class and children, by which two blocks compute the same."""
    children = dict(block.named_children())
    for child in block.children():
        if isinstance(child, AttnInject) and child.replaced is not None:
            children |= {name: part for name, part in child.replaced.modules.items() if part is not None}
    return own_class(type(block)), sorted(name for name in children if not name.startswith(PREFIX))


def _state(block: nn.Module, code: str, inserted: Iterable[InsertedHere]) -> BlockState:
    return BlockState(
        block=own_class(type(block)).__name__,
        forward=code,
        base_forward=called_base(block) if BASE_FORWARD in code else "",
        inserted=tuple(inserted),
    )


def _difference(a: _Seen, b: _Seen, costs: Comparison) -> Difference:
    added = tuple(key for key in b.keys if key not in a.keys)
    removed = tuple(key for key in a.keys if key not in b.keys)
    both = [key for key in b.keys if key in a.keys and a.keys[key] != b.keys[key]]
    found = set(a.changed()) | set(b.changed())
    names = [name for name in dict.fromkeys([*b.modules, *a.modules]) if name in found]
    blocks = [
        ChangedBlock(
            name=name,
            a=a.state(name, b),
            b=b.state(name, a),
            added=_below(name, added),
            removed=_below(name, removed),
        )
        for name in names
    ]
    return Difference(
        costs=costs,
        blocks=tuple(block for block in blocks if block.a != block.b or block.added or block.removed),
        added=added,
        removed=removed,
        reshaped=tuple(Reshaped(key=key, a=a.keys[key], b=b.keys[key]) for key in both),
    )


def _below(name: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key for key in keys if key.startswith(f"{name}."))


def _inserted_in(block: nn.Module) -> Iterator[InsertedHere]:
    for name, child in block.named_children():
        if isinstance(child, AttnInject) and child.edit is not None:
            edit = child.edit
            yield InsertedHere(
                module=name, attention=spec_label(edit), placement=edit.placement, start=edit.start
            )


def _shapes(state: Mapping[str, object]) -> Keys:
    return {key: tuple(value.shape) for key, value in state.items() if isinstance(value, torch.Tensor)}
