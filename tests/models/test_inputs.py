"""How models are called: sizes as people write them, types, single examples."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attn_inject.errors import UsageError
from attn_inject.models.inputs import InputSpec, as_size, dtype_of


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (64, (3, 64, 64)),
        ((64, 96), (3, 64, 96)),
        ([1, 64, 96], (1, 64, 96)),
        ((3, 8, 64, 96), (3, 8, 64, 96)),
        ((64,), (64,)),
    ],
)
def test_sizes_are_read_as_on_the_command_line(given, size):
    assert as_size(given) == size


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_an_input_made_from_a_size_has_the_type_asked_for(device):
    (x,), _ = InputSpec((3, 4, 4)).make(2, device=device, dtype=torch.bfloat16)
    assert (x.dtype, x.device.type, x.shape) == (torch.bfloat16, device, (2, 3, 4, 4))


def test_an_example_keeps_its_type():
    (x,), _ = InputSpec.from_example(torch.ones(2, 3, 4, 4).half()).make(2, dtype=torch.double)
    assert x.dtype == torch.half


def test_an_example_is_copied_and_cut_to_one_sample_where_its_batch_is_known():
    image = torch.randn(3, 3, 4, 4)
    spec = InputSpec.from_example({"image": image, "steps": torch.arange(3)})
    whole, one = spec.make(2)[1], spec.make(1)[1]
    assert torch.equal(whole["image"], image)
    whole["image"].zero_()
    assert image.any()
    assert [len(tensor) for tensor in one.values()] == [1, 1]
    for unknown in (
        torch.randn(3, 4, 4),
        (torch.randn(3, 3, 4, 4), torch.randn(2, 3)),
        [torch.randn(3, 4, 4)],
    ):
        spec = InputSpec.from_example(unknown)
        assert spec.batch is None
        first = spec.make(1)[0][0]
        assert len(first) == 3
    assert InputSpec.from_example(image.requires_grad_()).make(2)[0][0].requires_grad


def test_the_type_of_a_model():
    assert dtype_of(nn.Linear(2, 2).bfloat16()) == torch.bfloat16
    assert dtype_of(nn.ReLU()) == torch.float32


def test_a_single_image_is_doubled_for_training_only():
    image = torch.randn(1, 3, 4, 4)
    spec = InputSpec.from_example(image)
    (x,), _ = spec.make(2, training=True)
    assert torch.equal(x[:1], image)
    assert x.shape == (2, 3, 4, 4)
    assert not torch.equal(x[0], x[1])
    for given in (spec.make(2), spec.make(1, training=True)):
        assert torch.equal(given[0][0], image)
    (pair,), _ = InputSpec.from_example(image.repeat(3, 1, 1, 1)).make(2, training=True)
    assert len(pair) == 3


def test_several_arguments_are_handed_on_as_they_are():
    one, two = InputSpec.from_example((torch.ones(1, 3, 4, 4), torch.ones(1, 2))).make(2, training=True)[0]
    assert len(one) == len(two) == 1


@pytest.mark.parametrize("example", [5, torch.ones(2, 3).numpy(), "image.png"])
def test_other_examples_are_refused(example):
    with pytest.raises(UsageError, match=f"example_input is a {type(example).__name__}"):
        InputSpec.from_example(example)
