"""The exact cost of an einsum, beside torch's own counter of what it runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from attn_inject.cost.count import count
from attn_inject.cost.einsum import multiply_adds
from attn_inject.models.inputs import InputSpec

OUTER = ("i,j->ij", "ij,kl->il")  # torch runs these as elementwise products
EQUATIONS = [
    ("nchw,chw->nc", [(2, 3, 5, 7), (3, 5, 7)], 2 * 3 * 5 * 7),
    ("nedhw,kd->nekhw", [(1, 2, 4, 5, 6), (7, 4)], 2 * 4 * 5 * 6 * 7),
    ("abc,abd->acd", [(2, 3, 4), (2, 3, 5)], 2 * 3 * 4 * 5),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)], 2 * 3 * 4 + 2 * 4 * 5),
    ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)], 2 * 3 * 4 * 6 * 5),
    ("...ij,...jk", [(2, 3, 4, 5), (2, 3, 5, 6)], 2 * 3 * 4 * 5 * 6),
    ("ij,jk", [(2, 3), (3, 4)], 24),
    ("i,j->ij", [(33,), (35,)], 33 * 35),
    ("ijk->ik", [(2, 3, 4)], 0),
    ("ij,kl->il", [(2, 30), (40, 5)], 2 * 5),
]


@pytest.mark.parametrize(("equation", "shapes", "expected"), EQUATIONS)
def test_multiply_adds(equation, shapes, expected):
    assert multiply_adds(equation, shapes) == expected


@pytest.mark.parametrize(("equation", "shapes"), [item[:2] for item in EQUATIONS if item[0] not in OUTER])
def test_torch_runs_as_many(equation, shapes):
    torch.backends.opt_einsum.enabled, before = False, torch.backends.opt_einsum.enabled
    try:
        with FlopCounterMode(display=False) as counter:
            torch.einsum(equation, *(torch.empty(shape, device="meta") for shape in shapes))
    finally:
        torch.backends.opt_einsum.enabled = before
    assert counter.get_total_flops() == 2 * multiply_adds(equation, shapes)


@pytest.mark.parametrize("shapes", [[(2, 3)], [(2, 3), (3, 4, 5)]])
def test_what_does_not_fit_is_refused(shapes):
    with pytest.raises(ValueError, match="ij,jk"):
        multiply_adds("ij,jk->ik", shapes)


def test_a_trace_is_counted_to_the_last_unit():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(17, 19, 23))

        def forward(self, x):
            return torch.einsum("nchw,chw->nc", x, self.weight)

    assert count(Weighted(), InputSpec(size=(17, 19, 23))).cost.flops == 17 * 19 * 23
