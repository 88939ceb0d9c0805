"""What differs between two models, for people: the tree of changed blocks, their code, keys and costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby

from attn_inject.difference import BlockState, ChangedBlock, Difference
from attn_inject.display.code_rows import Row, code_rows
from attn_inject.display.comparison_page import totals_grid
from attn_inject.display.grid import Table
from attn_inject.display.numbers import plural
from attn_inject.display.page import Part
from attn_inject.display.rejections import name_some

_NAMES_SHOWN = 6


def diff_page(difference: Difference) -> list[Part]:
    """The page that `diff` prints."""
    return [part for part in _parts(difference) if part]


def _parts(difference: Difference) -> Iterator[Part]:
    yield headline(difference)
    if difference.blocks:
        yield tree_grid(difference)
    for number, blocks in enumerate(rewritten(difference), start=1):
        yield f"forward {number}: {blocks_line(blocks)}"
        yield Table.of(" |A|B", change_rows(blocks[0]))
    if difference.added or difference.removed or difference.reshaped:
        yield key_grid(difference)
    yield totals_grid(difference.costs)


def headline(difference: Difference) -> str:
    """Which models, and how many blocks and keys differ."""
    a, b = difference.costs.a, difference.costs.b
    changed = plural(len(difference.blocks), "block")
    keys = f"{plural(len(difference.added), 'key')} added, {len(difference.removed)} removed"
    reshaped = f", {len(difference.reshaped)} of another shape" if difference.reshaped else ""
    return f"A is {a.model} ({a.source}), B is {b.model} ({b.source})\n{changed} changed, {keys}{reshaped}"


def rewritten(difference: Difference) -> list[list[ChangedBlock]]:
    """The blocks that compute something else, those with the same two forwards together."""
    groups: dict[tuple[str, ...], list[ChangedBlock]] = {}
    for block in difference.blocks:
        if block.a is not None and block.b is not None and block.a.forward != block.b.forward:
            sides = block.a.forward, block.b.forward, block.a.base_forward, block.b.base_forward
            groups.setdefault((block.b.block, *sides), []).append(block)
    return list(groups.values())


def change_rows(block: ChangedBlock) -> list[Row]:
    """Its two forwards, line by line."""
    assert block.a is not None
    assert block.b is not None
    return code_rows(block.a.forward, block.b.forward)


def blocks_line(blocks: list[ChangedBlock]) -> str:
    """The names of some blocks and their class, `layer1.0, layer1.1 (2 x BasicBlock)`, and what they call."""
    sides = [side for side in (blocks[0].a, blocks[0].b) if side is not None]
    names = name_some([block.name for block in blocks], _NAMES_SHOWN)
    times = f"{len(blocks)} x " if len(blocks) > 1 else ""
    line = f"{names} ({times}{sides[-1].block})"
    base = next((side.base_forward for side in sides if side.base_forward), "")
    return f"{line}\nbase_forward is {base}" if base else line


def tree_grid(difference: Difference) -> Table:
    """The changed blocks below what holds them; neighbours with the same change share a row."""
    forwards = rewritten(difference)
    numbers = {block.name: str(number) for number, blocks in enumerate(forwards, 1) for block in blocks}
    rows: list[tuple[str, ...]] = []
    above = ""
    for _, run in groupby(difference.blocks, key=lambda block: _kind(block, numbers)):
        blocks = list(run)
        first, last = blocks[0], blocks[-1].name.rpartition(".")[2]
        parent, _, own = first.name.rpartition(".")
        if parent and parent != above:
            rows.append((parent, "", "", "", "", ""))
        above = parent
        name = own if len(blocks) == 1 else f"{own} .. {last}"
        keys = [f"+{len(first.added)}"] if first.added else []
        keys += [f"-{len(first.removed)}"] if first.removed else []
        sides = _inserted(first.a), _inserted(first.b)
        number = numbers.get(first.name, "")
        rows.append((f"  {name}" if parent else name, str(len(blocks)), *sides, " ".join(keys), number))
    return Table.of("block|>count|A|B|>keys each|>forward", rows).without_empty_columns()


def _kind(block: ChangedBlock, numbers: Mapping[str, str]) -> tuple[object, ...]:
    parent = block.name.rpartition(".")[0]
    sides = _inserted(block.a), _inserted(block.b)
    return parent, *sides, numbers.get(block.name), len(block.added), len(block.removed)


def _inserted(side: BlockState | None) -> str:
    if side is None:
        return "-"
    if not side.inserted:
        return side.block
    return ", ".join(f"{item.attention} ({item.placement}, {item.start} start)" for item in side.inserted)


def key_grid(difference: Difference) -> Table:
    """Keys that only one model has, or in another shape; those of alike blocks share a row."""
    blocks = sorted((block.name for block in difference.blocks), key=len, reverse=True)

    def below(key: str) -> str:
        block = next((name for name in blocks if key.startswith(f"{name}.")), None)
        return f"*.{key[len(block) + 1 :]}" if block else key

    rows = [
        (mark, key, str(count))
        for mark, keys in (("+", difference.added), ("-", difference.removed))
        for key, count in Counter(map(below, keys)).items()
    ]
    shaped = [("~", f"{item.key} {_shape(item.a)} -> {_shape(item.b)}", "1") for item in difference.reshaped]
    return Table.of(" |key|>count", _first(rows + shaped))


_MOST_KEYS = 40


def _first(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    left = len(rows) - _MOST_KEYS
    return [*rows[:_MOST_KEYS], ("", f"and {left} more; --json has them all", "")] if left > 0 else rows


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
