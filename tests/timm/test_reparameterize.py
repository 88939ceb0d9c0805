"""Blocks that become one convolution for inference keep their attention modules, and their output."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.utils import reparameterize_model

import attn_inject.timm  # noqa: F401  registers the names
from attn_inject.errors import FitError
from attn_inject.surgery.generated import own_class
from attn_inject.surgery.inserted import inserted_modules
from tests.nets import build, make_generic, modify, set_alphas


def merged(model, images):
    """The outputs before and after, and the merged model."""
    with torch.no_grad():
        before = model(images)
        small = reparameterize_model(model).eval()
        return before, small(images), small


def create(name):
    torch.manual_seed(0)
    return timm.create_model(name).eval()


def pictures(size):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["repvgg_a0_eca", "mobileone_s0_se", "fastvit_t8_ela_t", "repvit_m0_9_se"])
def test_modified_blocks_still_merge(name):
    model = make_generic(create(name))
    set_alphas(model, 0.5)
    images = pictures(64)
    before, after, small = merged(model, images)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4 * before.abs().max().item())
    assert inserted_modules(small).keys() == inserted_modules(model).keys()
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    set_alphas(small, 0.0)
    assert not torch.allclose(small(images), after), "the modules have no effect"


def test_traced_placements_merge_too():
    model = make_generic(build("fastvit_t8"))
    modify(model, "se", placement="before-add", size=(3, 64, 64))
    set_alphas(model, 0.5)
    before, after, _ = merged(model, pictures(64))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4 * before.abs().max().item())


@pytest.mark.parametrize(
    ("name", "at", "size"),
    [
        ("levit_conv_128s", "stages.0.blocks.0.mlp.ln1", 224),
        ("repvit_m0_9", "stages.0.blocks.0.token_mixer", 64),
    ],
)
def test_what_would_be_lost_by_merging_is_refused(name, at, size):
    model = build(name)
    modify(model, "se", at=(at,), size=(3, size, size))
    with pytest.raises(FitError, match="merges itself into another module"):
        reparameterize_model(model)
    assert hasattr(model.get_submodule(at), "attn_inject")
    first = reparameterize_model(build(name))
    modify(first, "se", at=(at,), size=(3, size, size))
    assert own_class(type(first.get_submodule(at))) is torch.nn.Conv2d


@pytest.mark.skipif(not timm.is_model("efficientvim_m1"), reason="this release of timm has no such block")
def test_a_block_that_merges_in_place_keeps_its_module():
    model = make_generic(create("efficientvim_m1_se"))
    set_alphas(model, 0.5)
    before, after, small = merged(model, pictures(224))
    assert len(inserted_modules(small)) == 6
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4 * before.abs().max().item())
