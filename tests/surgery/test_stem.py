"""SASA's stem: against a naive formula, and instead of real stems."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import attn_inject
from attn_inject.attention.sasa_stem import SASAStem
from attn_inject.errors import FitError, ModelError, UsageError
from tests.nets import build, make_generic, modify


def naive(stem: SASAStem, x: torch.Tensor) -> torch.Tensor:
    """Position by position, head by head."""
    n, _, height, width = x.shape
    q, k = stem.query(x), stem.key(x)
    projected = torch.stack([value(x) for value in stem.values])
    channels = q.shape[1]
    depth = channels // stem.heads
    y = torch.zeros(n, channels, height, width, dtype=x.dtype)
    for i in range(height):
        for j in range(width):
            window = [(i // 4 * 4 + a, j // 4 * 4 + b) for a in range(4) for b in range(4)]
            for head in range(stem.heads):
                part = slice(head * depth, (head + 1) * depth)
                logits = torch.stack([(q[:, part, i, j] * k[:, part, r, c]).sum(1) for r, c in window], 1)
                weights = torch.softmax(logits, 1)
                for at, (r, c) in enumerate(window):
                    shares = torch.softmax(
                        torch.stack([(stem.row[r % 4] + stem.column[c % 4]) @ nu for nu in stem.mixture]), 0
                    )
                    value = sum(s * p for s, p in zip(shares, projected[:, :, part, r, c], strict=True))
                    y[:, part, i, j] += weights[:, at : at + 1] * value
    return y


def test_the_stem_agrees_with_its_formula():
    torch.manual_seed(0)
    stem = SASAStem(3, 16, heads=4).double()
    for parameter in stem.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 3, 8, 12, dtype=torch.float64, requires_grad=True)
    y, expected = stem(x), naive(stem, x)
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-10)
    weight = torch.randn_like(y)
    gradients = [torch.autograd.grad((out * weight).sum(), x)[0] for out in (y, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


def test_the_published_parameters_of_resnet50():
    result = attn_inject.inject("resnet50", "sasa", placement="replace-conv", stem=True, dry_run=True)
    assert result.report.result.params == 18_008_016


@pytest.mark.parametrize("name", ["resnet18", "torchvision/resnet18"])
def test_the_stem_replaces_the_convolution_and_the_pool(name):
    model = make_generic(build(name))
    x = torch.randn(1, 3, 64, 64)
    before = model(x)
    edits = modify(model, "sasa", placement="replace-conv", stem=True, start="paper", size=(3, 64, 64))
    assert [edit.name for edit in edits[:2]] == ["conv1", "maxpool"]
    assert model.conv1(x).shape == (1, 64, 64, 64)
    assert model.maxpool(model.conv1(x)).shape == (1, 64, 16, 16)
    assert model(x).shape == before.shape
    with pytest.raises(ModelError, match="4 divides"):
        model(torch.randn(1, 3, 66, 66))
    attn_inject.remove(model)
    assert torch.equal(model(x), before)


@pytest.mark.parametrize(
    ("model", "plan", "error", "message"),
    [
        ("resnet18", {"attention": "se", "placement": "replace-conv"}, FitError, "has none"),
        ("resnet18", {"attention": "sasa", "placement": "after"}, UsageError, "--stem"),
        ("mobilenetv2_100", {"attention": "sasa", "placement": "replace-conv"}, FitError, "stem is no"),
    ],
)
def test_what_has_no_such_stem_is_refused(model, plan, error, message):
    with pytest.raises(error, match=message):
        attn_inject.inject(model, **plan, stem=True, dry_run=True)


def test_an_image_that_the_stem_cannot_cut_is_refused():
    with pytest.raises(FitError, match="multiples of 4"):
        attn_inject.inject(
            "resnet18", "sasa", placement="replace-conv", stem=True, dry_run=True, input_size=(3, 66, 66)
        )
