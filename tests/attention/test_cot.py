import pytest
import torch

from attn_inject.attention.cot import CoT
from tests.attention.agreement import (
    Tensors,
    assert_agrees,
    batch_norm,
    group_norm,
    layer,
    logistic,
    means,
    rectified,
)
from tests.attention.test_involution import windowed


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    n, c, h, w = x.shape
    static = rectified(batch_norm(tensors, "key_bn", layer(tensors, "key", x, groups=4), training))
    embedded = layer(tensors, "embed1", torch.cat([x, static], 1))
    embedded = layer(tensors, "embed2", rectified(batch_norm(tensors, "embed_bn", embedded, training)))
    weights = group_norm(
        embedded.flatten(2), c // 8, tensors["embed_gn.weight"], tensors["embed_gn.bias"]
    ).reshape(n, c // 8, 9, h, w)
    value = batch_norm(tensors, "value_bn", layer(tensors, "value", x), training)
    dynamic = batch_norm(tensors, "bn", windowed(value, weights, lambda at: at % (c // 8)), training)
    dynamic = dynamic * logistic(dynamic)
    z = rectified(batch_norm(tensors, "fc_bn", layer(tensors, "fc1", means(static + dynamic)), training))
    scores = torch.exp(layer(tensors, "fc2", z)).reshape(n, c, 2)
    a = scores / scores.sum(2, keepdim=True)
    return torch.einsum("nchw,nc->nchw", dynamic, a[:, :, 0]) + torch.einsum(
        "nchw,nc->nchw", static, a[:, :, 1]
    )


def test_agrees_with_its_formula():
    assert_agrees(CoT(16), formula, (3, 16, 5, 4))


def test_refuses_channels_that_are_not_eighths():
    with pytest.raises(ValueError, match="channels=12 is not accepted; it takes a multiple of 8"):
        CoT(12)
