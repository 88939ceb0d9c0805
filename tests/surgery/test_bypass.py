"""A bypassed modified model computes what its base computes; afterwards it does not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attn_inject.errors import FitError
from attn_inject.surgery.bypass import bypassed
from attn_inject.surgery.inserted import inserted_modules
from attn_inject.surgery.placements import INNER
from tests.nets import build, make_generic, modify


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("placement", ["after", *INNER])
def test_a_bypassed_model_equals_its_base(placement: str, image: torch.Tensor) -> None:
    model = make_generic(build("test_resnet"))  # no branch vanishes
    expected = model(image)
    modify(model, "cbam", start="paper", placement=placement)
    assert not torch.equal(model(image), expected)
    with bypassed(model):
        assert torch.equal(model(image), expected)
    assert not torch.equal(model(image), expected)


def test_what_was_bypassed_before_stays_so_and_an_error_ends_it() -> None:
    model = build("test_resnet")
    modify(model, "se", start="paper")
    first, second, *_ = inserted_modules(model).values()
    first.bypassed = True
    with pytest.raises(ZeroDivisionError), bypassed(model):
        raise ZeroDivisionError
    assert first.bypassed
    assert not second.bypassed


def test_a_module_that_replaces_another_cannot_be_bypassed() -> None:
    model: nn.Module = build("test_resnet")
    modify(model, "cbam", start="paper", placement="replace-conv")
    with pytest.raises(FitError, match="replaces a module"), bypassed(model):
        pass
    assert not any(module.bypassed for module in inserted_modules(model).values())
