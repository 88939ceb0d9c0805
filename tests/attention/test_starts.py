"""The start of each module that the authors' code initialises in its own way."""

import pytest
import torch
from torch import nn

from attn_inject.attention.factory import create_attention

C, SIZE = 512, (7, 7)


def make(spec: str) -> nn.Module:
    torch.manual_seed(0)
    return create_attention(spec, channels=C, size=SIZE)


# Standard deviations of normal weights: (2 / inputs) ** 0.5, (2 / outputs) ** 0.5, or a number.
WEIGHTS = [
    ("bam", "spatial.0", (2 / 32) ** 0.5),
    ("bam", "spatial.3", (2 / (32 * 9)) ** 0.5),
    ("sk", "narrow.0", (2 / (16 * 9)) ** 0.5),
    ("sk", "wide.0", (2 / (16 * 9)) ** 0.5),
    ("sk", "fc", 0.01),
    ("sk", "select", 0.01),
    ("spm", "rows.0", (2 / (C * 3)) ** 0.5),
    ("spm", "columns.0", (2 / (C * 3)) ** 0.5),
    ("spm", "mix", (2 / C) ** 0.5),
    ("ge-theta", "gather.conv", (2 / 49) ** 0.5),
    ("ge-theta:extent=4", "gather.2", (2 / 9) ** 0.5),
    ("ge-theta-plus", "gather.conv", (2 / 49) ** 0.5),
    ("ge-theta-plus", "fc1", 0.01),
    ("ge-theta-plus", "fc2", 0.01),
    ("nl", "theta", 0.01),
    ("nl", "out", 0.01),
    ("gc", "mask", (2 / C) ** 0.5),
]


@pytest.mark.parametrize(("spec", "layer", "deviation"), WEIGHTS)
def test_weights_are_normal(spec, layer, deviation):
    weight = make(spec).get_submodule(layer).weight.detach().flatten().double()
    assert weight.std().item() == pytest.approx(deviation, rel=0.1)
    # A uniform distribution of this deviation ends at 1.73 of them.
    assert weight.abs().max().item() > 2.2 * deviation


@pytest.mark.parametrize(
    ("spec", "layers"),
    [("bam", ("channel.0", "channel.3", "spatial.0", "spatial.9")), ("ge-theta-plus", ("fc1", "fc2"))],
)
def test_biases_are_zero(spec, layers):
    module = make(spec)
    assert not any(module.get_submodule(layer).bias.any() for layer in layers)


def test_triplet_attention_starts_with_one_closed_branch():
    """Its training code sets the scale of the norm to zero whose gate is over rows and columns."""
    module = make("tam")
    scales = {name: module.get_submodule(f"{name}.1").weight.item() for name in module._modules}
    assert scales == {"over_channels": 0, "over_rows": 1, "over_columns": 1}
