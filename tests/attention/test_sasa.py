import pytest
import torch

from attn_inject.attention import sasa
from attn_inject.attention.sasa import SASA
from attn_inject.cost.count import count_call
from tests.attention.agreement import Tensors, assert_agrees, layer


def formula_of(heads: int, kernel_size: int):
    """One position at a time, over what its window has inside the map."""

    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        n, c, h, w = x.shape
        q, k, v = (layer(tensors, name, x).reshape(n, heads, -1, h, w) for name in ("query", "key", "value"))
        rows = [[attended(q, k, v, tensors, i, j, kernel_size // 2) for j in range(w)] for i in range(h)]
        return torch.stack([torch.stack(row, 2) for row in rows], 2).reshape(n, c, h, w)

    return formula


def attended(q, k, v, tensors: Tensors, i: int, j: int, reach: int) -> torch.Tensor:
    """y at (i, j), (N, C)."""
    h, w = q.shape[3:]
    likely, values = [], []
    for a in range(max(0, i - reach), min(h, i + reach + 1)):
        for b in range(max(0, j - reach), min(w, j + reach + 1)):
            r = torch.cat([tensors["row"][a - i + reach], tensors["column"][b - j + reach]])
            likely.append(torch.exp(torch.einsum("ned,ned->ne", q[:, :, :, i, j], k[:, :, :, a, b] + r)))
            values.append(v[:, :, :, a, b])
    total = sum(likely)
    return sum((p / total)[:, :, None] * value for p, value in zip(likely, values, strict=True)).flatten(1)


@pytest.mark.parametrize(
    ("channels", "heads", "kernel_size", "size"),
    [(8, 2, 3, (5, 4)), (4, 1, 5, (3, 4)), (4, 2, 7, (2, 2)), (4, 2, 1, (2, 3))],
)
def test_agrees_with_its_formula(channels, heads, kernel_size, size):
    module = SASA(channels, heads=heads, kernel_size=kernel_size)
    assert_agrees(module, formula_of(heads, kernel_size), (2, channels, *size))


@pytest.mark.parametrize(("channels", "served"), [(64, 8), (24, 6), (10, 5), (2, 1), (25, 8)])
def test_adapts_to_the_largest_number_of_heads_whose_double_divides(channels, served):
    assert SASA.adapt(channels, {"heads": 8, "kernel_size": 7}) == {"heads": served, "kernel_size": 7}
    if served != 8:
        SASA(channels, heads=served)
        with pytest.raises(
            ValueError, match=f"SASA: heads=8 is not accepted; .* divides {channels} channels"
        ):
            SASA(channels, heads=8)


def test_what_is_kept_for_the_gradient_is_far_below_the_unfolded_windows():
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    x = torch.randn(1, 64, 28, 28, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        SASA(64)(x)
    assert kept < 2 * 49 * x.numel() / 4


def test_its_cost_is_counted():
    counted = count_call(SASA(16, heads=2, kernel_size=3), (1, 16, 5, 4))
    positions, window = 5 * 4, 3 * 3
    projections, offsets = 3 * 16 * 16 * positions, 3 * 16 * positions
    assert counted.cost.flops == projections + offsets + 2 * window * 16 * positions
    assert set(counted.uncounted) <= {"aten::add"}


@pytest.mark.parametrize("size", [(7, 7), (9, 5), (2, 3)])
def test_what_is_exported_computes_the_same(size, monkeypatch):
    torch.manual_seed(0)
    attention = SASA(16, heads=2, kernel_size=5).double()
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    expected = attention(x)
    monkeypatch.setattr(sasa, "_is_exporting", lambda: True)
    torch.testing.assert_close(attention(x), expected, rtol=1e-12, atol=1e-12)


def test_its_exported_graph_is_small():
    program = torch.export.export(SASA(16, heads=2).eval(), (torch.randn(1, 16, 9, 9),))
    assert len(program.graph.nodes) < 80
