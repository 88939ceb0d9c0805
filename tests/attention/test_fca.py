import math

import pytest
import torch

from attn_inject.attention.fca import BEST, FCA, waves
from tests.attention.agreement import Tensors, assert_agrees, logistic, rectified

SIZE = (14, 7)


def formula_of(frequencies: int):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        n, c, h, w = x.shape
        z = []
        for channel in range(c):
            at = channel // (c // frequencies)
            total = torch.zeros(n, dtype=x.dtype)
            for i in range(h):
                for j in range(w):
                    basis = tensors["rows"][at, i] * tensors["columns"][at, j]
                    total = total + x[:, channel, i, j] * basis
            z.append(total)
        hidden = rectified(torch.stack(z, 1) @ tensors["fc1.weight"].T)
        return torch.einsum("nchw,nc->nchw", x, logistic(hidden @ tensors["fc2.weight"].T))

    return formula


@pytest.mark.parametrize("frequencies", [1, 4])
def test_agrees_with_its_formula(frequencies):
    module = FCA(8, reduction=2, frequencies=frequencies, size=SIZE)
    assert_agrees(module, formula_of(frequencies), (2, 8, *SIZE))


def test_its_basis_is_the_cosine_transform():
    transform = torch.tensor([waves(u, 9) for u in range(9)], dtype=torch.float64)
    torch.testing.assert_close(transform @ transform.T, torch.eye(9, dtype=torch.float64))
    module = FCA(16, size=SIZE)
    for at, (u, v) in enumerate(BEST):
        for i in range(14):
            wave = math.cos(math.pi * 2 * u * (i + 0.5) / 14) * math.sqrt((2 if u else 1) / 14)
            assert module.rows[at, i].item() == pytest.approx(wave, abs=1e-6)
        assert module.columns[at, 0].item() == pytest.approx(
            math.cos(math.pi * v / 14) * math.sqrt((2 if v else 1) / 7), abs=1e-6
        )
    assert len(set(BEST)) == 16


def test_below_seven_positions_every_frequency_is_zero():
    module = FCA(16, size=(5, 6))
    assert torch.equal(module.rows, module.rows[:1, :1].expand(16, 5))


@pytest.mark.parametrize(("channels", "served"), [(64, 16), (24, 8), (3, 1)])
def test_adapts_to_frequencies_that_divide(channels, served):
    options = {"reduction": 16, "frequencies": 16}
    assert FCA.adapt(channels, options) == {**options, "frequencies": served}
    if served != 16:
        with pytest.raises(ValueError, match=f"frequencies=16 is not accepted; .* the {channels} channels"):
            FCA(channels, size=SIZE)
