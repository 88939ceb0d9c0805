import pytest
import torch

from attn_inject.attention.sa import SA
from tests.attention.agreement import Tensors, assert_agrees, group_norm, logistic


def formula_of(groups: int):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        n, c, h, w = x.shape
        k = c // (2 * groups)
        gated = []
        for first in range(0, c, 2 * k):
            x0, x1 = x[:, first : first + k], x[:, first + k : first + 2 * k]
            for at in range(k):
                z = x0[:, at].sum((1, 2)) / (h * w)
                gate = logistic(tensors["cweight"][at] * z + tensors["cbias"][at])
                gated.append(x0[:, at] * gate[:, None, None])
            normed = group_norm(x1.reshape(n, k, h * w), k, tensors["norm_weight"], tensors["norm_bias"])
            for at in range(k):
                u = tensors["sweight"][at] * normed[:, at].reshape(n, h, w) + tensors["sbias"][at]
                gated.append(x1[:, at] * logistic(u))
        shuffled = [gated[channel // 2 + (channel % 2) * (c // 2)] for channel in range(c)]
        return torch.stack(shuffled, 1)

    return formula


@pytest.mark.parametrize(("channels", "groups"), [(16, 2), (12, 3), (8, 4), (6, 1)])
def test_agrees_with_its_formula(channels, groups):
    assert_agrees(SA(channels, groups=groups), formula_of(groups), (2, channels, 4, 3))


def test_starts_with_the_gates_at_sigmoid_of_one():
    x = torch.randn(2, 128, 4, 4)
    alternate = torch.stack([x[:, :64], x[:, 64:]], 2).flatten(1, 2)
    torch.testing.assert_close(SA(128)(x), alternate * torch.sigmoid(torch.tensor(1.0)))


@pytest.mark.parametrize(
    ("channels", "asked", "served"), [(256, 64, 64), (64, 64, 32), (24, 64, 12), (144, 64, 36), (10, 4, 1)]
)
def test_adapts_to_the_largest_number_of_groups_whose_double_divides(channels, asked, served):
    assert SA.adapt(channels, {"groups": asked}) == {"groups": served}
    SA(channels, groups=served)
    if served != asked:
        with pytest.raises(ValueError, match=f"SA: groups={asked} is not accepted"):
            SA(channels, groups=asked)


def test_no_number_of_groups_serves_an_odd_channel_count():
    assert SA.adapt(25, {"groups": 64}) == {"groups": 64}
