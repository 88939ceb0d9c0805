import pytest
import torch

from attn_inject.attention.gam import GAM
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, layer, logistic, rectified


def formula_of(groups: int):
    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        x = x * logistic(layer(tensors, "fc2", rectified(layer(tensors, "fc1", x))))
        hidden = batch_norm(tensors, "bn1", layer(tensors, "conv1", x, groups=groups), training)
        width = hidden.shape[1] // groups
        order = [group * width + at for at in range(width) for group in range(groups)]
        hidden = rectified(hidden)[:, order]
        return x * logistic(
            batch_norm(tensors, "bn2", layer(tensors, "conv2", hidden, groups=groups), training)
        )

    return formula


@pytest.mark.parametrize(("kernel_size", "groups"), [(7, 1), (3, 2)])
def test_agrees_with_its_formula(kernel_size, groups):
    module = GAM(16, reduction=4, kernel_size=kernel_size, groups=groups)
    assert_agrees(module, formula_of(groups), (3, 16, 4, 3))


@pytest.mark.parametrize(("channels", "asked", "served"), [(64, 4, 4), (64, 5, 4), (24, 4, 3), (3, 4, 1)])
def test_adapts_to_groups_that_divide_both_widths(channels, asked, served):
    options = {"reduction": 4, "kernel_size": 7, "groups": asked}
    assert GAM.adapt(channels, options) == {**options, "groups": served}
    GAM(channels, reduction=4, groups=served)
    if served != asked:
        with pytest.raises(
            ValueError, match=f"GAM: groups={asked} is not accepted; groups is a divisor of the"
        ):
            GAM(channels, reduction=4, groups=asked)
