"""`attn_inject.testing.check_attention`: the built-in modules pass it, and each broken promise is named."""

import pytest
import torch
from torch import nn

from attn_inject.attention import registry
from attn_inject.testing import check_attention


@pytest.mark.parametrize("name", list(registry.entries()))
def test_the_built_in_modules_pass(name):
    check_attention(registry.load(registry.entries()[name]))


class Honest(nn.Module):
    def __init__(self, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels // reduction, 1)
        self.back = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.back(self.mix(x.mean((2, 3), keepdim=True))).sigmoid()


class Shrinks(Honest):
    def forward(self, x):
        return super().forward(x)[:, :, :1]


class Overwrites(Honest):
    def forward(self, x):
        return x.mul_(0.5)


class Idle(Honest):
    def forward(self, x):
        return x * self.mix(x).mean(1, keepdim=True)


class Forgets(Honest):
    def __init__(self, channels, *, reduction=4):
        super().__init__(channels, reduction=reduction)
        self.secret = torch.rand(1)

    def forward(self, x):
        return super().forward(x) * self.secret


class Positional(Honest):
    def __init__(self, channels, reduction=4):
        super().__init__(channels, reduction=reduction)


class Lies(Honest):
    acts_on = "channel"

    def gate(self, x):
        return x.mean((2, 3), keepdim=True)


class Anything(Honest):
    def __init__(self, channels, **options):
        super().__init__(channels)


class Widens(Honest):
    def forward(self, x):
        return super().forward(x).double()


class OneSize(Honest):
    def forward(self, x):
        return super().forward(x) * torch.ones(7, 5)


class Elsewhere(Honest):
    def __init__(self, channels, *, reduction=4):
        super().__init__(channels, reduction=reduction)
        self.own = nn.Parameter(torch.ones(1, device="cpu"))

    def forward(self, x):
        return super().forward(x) * self.own


def test_an_honest_module_passes_with_options():
    check_attention(Honest, reduction=8)


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (Shrinks, r"\(2, 32, 7, 5\) becomes \(2, 32, 1, 5\)"),
        (Overwrites, "writes into its input"),
        (Idle, "no gradient reaches back.weight"),
        (Forgets, "something is kept outside"),
        (Positional, "options must be named"),
        (Lies, "forward\\(x\\) is not x \\* gate\\(x\\)"),
        (Anything, "takes ..options, so its options cannot be listed"),
        (Widens, "float64"),
        (OneSize, r"on a map of shape \(3, 32, 1, 9\) it raises"),
        (Elsewhere, "makes parameters elsewhere"),
    ],
)
def test_each_broken_promise_is_named(attention, message):
    with pytest.raises(AssertionError, match=message) as caught:
        check_attention(attention)
    assert attention.__name__ in str(caught.value)
