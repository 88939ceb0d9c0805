"""Two versions of a function line by line, side by side."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

# (mark, line of the first, line of the second): `+` only the second has it, `-` only the first, `~` another.
Row = tuple[str, str, str]
_INSERTED = "self.attn_inject"


def code_rows(a: str, b: str) -> list[Row]:
    """The lines of two versions; a line that calls an inserted module stands beside nothing."""
    before, after = a.splitlines(), b.splitlines()
    rows: list[Row] = []
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    for tag, start, end, other, last in matcher.get_opcodes():
        if tag == "equal":
            rows += [("", line, line) for line in before[start:end]]
        else:
            rows += _unlike(before[start:end], after[other:last])
    return rows


def _unlike(before: Sequence[str], after: Sequence[str]) -> Iterator[Row]:
    """Lines side by side that assign to the same name, or that both return."""
    left, right = list(before), list(after)
    while left or right:
        if not right or (left and _INSERTED in left[0]):
            yield "-", left.pop(0), ""
        elif not left or _INSERTED in right[0]:
            yield "+", "", right.pop(0)
        elif _target(left[0]) == _target(right[0]):
            yield "~", left.pop(0), right.pop(0)
        elif _target(right[0]) in map(_target, left):
            yield "-", left.pop(0), ""
        else:
            yield "+", "", right.pop(0)


def _target(line: str) -> str:
    """The name that a line assigns to, or its first word."""
    return line.split()[0] if line.strip() else ""
