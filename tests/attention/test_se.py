import pytest
import torch

from attn_inject.attention.se import SE
from tests.attention.agreement import Tensors, assert_agrees, layer, logistic, means, rectified


def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    samples = []
    for sample in x:  # (C, H, W)
        z = torch.stack([channel.sum() / channel.numel() for channel in sample])
        hidden = tensors["fc1.weight"][:, :, 0, 0] @ z + tensors.get("fc1.bias", torch.zeros(()))
        hidden = torch.where(hidden > 0, hidden, torch.zeros_like(hidden))
        s = logistic(tensors["fc2.weight"][:, :, 0, 0] @ hidden + tensors.get("fc2.bias", torch.zeros(())))
        samples.append(torch.stack([channel * gate for channel, gate in zip(sample, s, strict=True)]))
    return torch.stack(samples)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"reduction": 4}])
def test_agrees_with_its_formula(options):
    assert_agrees(SE(32, **options), formula, (3, 32, 5, 4))


@pytest.mark.parametrize(("channels", "hidden"), [(15, 1), (16, 1), (31, 1), (32, 2), (320, 20)])
def test_a_width_below_the_reduction_keeps_one_hidden_channel(channels, hidden):
    assert SE(channels).fc1.out_channels == hidden


def test_starts_with_he_weights_and_no_bias():
    module = SE(2048)
    assert module.fc1.weight.std().item() == pytest.approx((2 / 2048) ** 0.5, rel=0.02)
    assert module.fc2.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.02)
    assert not module.fc1.bias.any()
    assert not module.fc2.bias.any()


def formula_of(squeeze: str, gate: str):
    activation = {"sigmoid": logistic, "tanh": lambda x: 2 * logistic(2 * x) - 1, "relu": rectified}[gate]

    def formula(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
        z = x
        if squeeze != "none":
            z = means(x) if squeeze == "avg" else torch.stack(list(x.flatten(2).unbind(2))).max(0).values
            z = z[:, :, None, None]
        return x * activation(layer(tensors, "fc2", rectified(layer(tensors, "fc1", z))))

    return formula


@pytest.mark.parametrize("gate", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("squeeze", ["avg", "max", "none"])
def test_agrees_with_the_formulas_of_the_ablations(squeeze, gate):
    module = SE(32, reduction=4, squeeze=squeeze, gate=gate)
    assert module.acts_on == ("spatial" if squeeze == "none" else "channel")
    assert_agrees(module, formula_of(squeeze, gate), (3, 32, 4, 3))


@pytest.mark.parametrize(
    ("option", "accepted"), [("squeeze", "avg, max or none"), ("gate", "sigmoid, tanh or relu")]
)
def test_refuses_other_words(option, accepted):
    with pytest.raises(ValueError, match=f"SE: {option}=mean is not accepted; {option} is {accepted}"):
        SE(32, **{option: "mean"})
