"""What an einsum costs, exactly: fvcore's own rule reads a figure that was rounded for printing."""

from __future__ import annotations

import math
from collections.abc import Sequence


def multiply_adds(equation: str, shapes: Sequence[Sequence[int]]) -> int:
    """Multiply-adds of an einsum whose operands are contracted from left to right, as torch does.

    Of two operands every combination of their indices is one multiply-add; an index that only one of them
    has, and nothing later needs, is summed first, which costs no product. One operand is only summed or
    permuted: no multiply-adds.

    Args:
        equation: `nchw,chw->nc`, also with an ellipsis or without a right side.
        shapes: Of the operands.

    Raises:
        ValueError: The equation does not describe operands of these shapes.
    """
    terms, result = _terms(equation.replace(" ", ""), [len(shape) for shape in shapes])
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for index, size in zip(term, shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))  # a size of one is broadcast
    total = 0
    left = set(terms[0])
    for position, term in enumerate(terms[1:], 1):
        later = set(result).union(*terms[position + 1 :])
        right = set(term)
        union = (left & (right | later)) | (right & (left | later))
        total += math.prod(sizes[index] for index in union)
        left = union & later
    return total


def _terms(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """One letter per axis for each operand and for the result."""
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"{equation} has {len(terms)} operands, not {len(ranks)}")
    spare = [chr(code) for code in range(0x100, 0x100 + 32)]
    hidden = 0
    for place, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        if "..." in term:
            count = rank - len(term.replace("...", ""))
            hidden = max(hidden, count)
            terms[place] = term.replace("...", "".join(spare[len(spare) - count :]))
        if len(terms[place]) != rank:
            raise ValueError(f"{equation} does not fit an operand of {rank} axes")
    ellipsis = "".join(spare[len(spare) - hidden :]) if hidden else ""
    if arrow:
        return terms, right.replace("...", ellipsis)
    letters = "".join(terms)
    once = sorted({letter for letter in letters if letters.count(letter) == 1 and letter not in ellipsis})
    return terms, ellipsis + "".join(once)
