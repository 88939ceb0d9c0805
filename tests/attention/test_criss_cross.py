import pytest
import torch

from attn_inject.attention.criss_cross import CrissCross
from tests.attention.agreement import Tensors, assert_agrees, layer


def formula_of(recurrence: int):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        for _ in range(recurrence):
            x = once(tensors, x)
        return x

    return formula


def once(tensors: Tensors, x: torch.Tensor) -> torch.Tensor:
    q, k, v = (layer(tensors, name, x) for name in ("query", "key", "value"))
    h, w = x.shape[2:]
    rows = []
    for i in range(h):
        row = []
        for j in range(w):
            cross = {(i, b) for b in range(w)} | {(a, j) for a in range(h)}
            likely = {
                (a, b): torch.exp(torch.einsum("nc,nc->n", q[:, :, i, j], k[:, :, a, b])) for a, b in cross
            }
            total = sum(likely.values())
            row.append(sum((p / total)[:, None] * v[:, :, a, b] for (a, b), p in likely.items()))
        rows.append(torch.stack(row, 2))
    return x + tensors["gamma"] * torch.stack(rows, 2)


@pytest.mark.parametrize("recurrence", [1, 2])
def test_agrees_with_its_formula(recurrence):
    assert_agrees(CrissCross(8, reduction=4, recurrence=recurrence), formula_of(recurrence), (2, 8, 4, 3))


def test_once_sees_the_cross_and_twice_sees_all():
    for recurrence, seen in ((1, 4 + 5 - 1), (2, 20)):
        module = CrissCross(8, recurrence=recurrence)
        torch.nn.init.ones_(module.gamma)
        x = torch.randn(1, 8, 4, 5, requires_grad=True)
        module(x)[0, :, 1, 2].sum().backward()
        assert int((x.grad.abs().sum(1) > 0).sum()) == seen
