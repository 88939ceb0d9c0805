import pytest
import torch

from attn_inject.attention.ela import ELA
from tests.attention.agreement import Tensors, assert_agrees, conv1d, group_norm, logistic


def formula_of(groups: int, num_groups: int):
    def axis(tensors: Tensors, at: int, z: torch.Tensor) -> torch.Tensor:
        at = at if f"axes.{at}.0.weight" in tensors else 0
        weight, bias = tensors[f"axes.{at}.1.weight"], tensors[f"axes.{at}.1.bias"]
        return logistic(
            group_norm(conv1d(z, tensors[f"axes.{at}.0.weight"], groups), num_groups, weight, bias)
        )

    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        a_h = axis(tensors, 0, torch.einsum("nchw->nch", x) / x.shape[3])
        a_w = axis(tensors, 1, torch.einsum("nchw->ncw", x) / x.shape[2])
        return torch.einsum("nchw,nch,ncw->nchw", x, a_h, a_w)

    return formula


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        ({"kernel_size": 5, "groups": "C", "num_groups": 8}, 16),
        ({"kernel_size": 7, "groups": "C/8", "num_groups": 4}, 2),
        ({"kernel_size": 3, "groups": 4, "num_groups": 2, "shared": False}, 4),
    ],
)
def test_agrees_with_its_formula(options, groups):
    assert_agrees(ELA(16, **options), formula_of(groups, options["num_groups"]), (2, 16, 5, 4))


def test_both_axes_share_one_convolution_and_one_norm_unless_told_otherwise():
    shared, two = ELA(64), ELA(64, shared=False)
    assert sum(p.numel() for p in two.parameters()) == 2 * sum(p.numel() for p in shared.parameters())


@pytest.mark.parametrize(
    ("channels", "asked", "adapted"),
    [
        (256, {"groups": "C/8", "num_groups": 16}, {"groups": "C/8", "num_groups": 16}),
        (144, {"groups": "C", "num_groups": 32}, {"groups": "C", "num_groups": 24}),
        (24, {"groups": "C/8", "num_groups": 16}, {"groups": "C/8", "num_groups": 12}),
        (28, {"groups": "C/8", "num_groups": 16}, {"groups": 2, "num_groups": 14}),
        (20, {"groups": "C/8", "num_groups": 16}, {"groups": "C/8", "num_groups": 10}),
        (4, {"groups": "C/8", "num_groups": 16}, {"groups": 1, "num_groups": 4}),
        (17, {"groups": 5, "num_groups": 16}, {"groups": 1, "num_groups": 1}),
    ],
)
def test_adapts_to_the_largest_numbers_of_groups_that_divide(channels, asked, adapted):
    assert ELA.adapt(channels, asked) == adapted
    ELA(channels, **adapted)
    if adapted != asked:
        with pytest.raises(ValueError, match=f"a divisor of the {channels} channels"):
            ELA(channels, **asked)
