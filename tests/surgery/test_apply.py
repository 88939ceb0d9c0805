"""Identity starts are bit-equal for real models, layouts and placements, and removal undoes them."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch
from torch import nn
from torch.nn.utils import parametrize

from attn_inject.errors import FitError
from attn_inject.surgery.apply import apply_edits, build_inserted, refusal, spec_label
from attn_inject.surgery.inserted import inserted_modules
from attn_inject.surgery.placements import INNER
from attn_inject.surgery.removal import remove
from tests.nets import build, make_generic, modify, set_alphas, size_of

# `tests.sweeps --full` proves it for many more, and `tests.checks.sweep` takes the product with ten modules.
FAMILIES = {
    "resnet50": "se",
    "mobilenetv2_100": "ela-l",
    "efficientnet_b0": "sa",
    "convnext_tiny": "ela-l",
    "vit_tiny_patch16_224": "se",
    "swin_tiny_patch4_window7_224": "sa",
    "torchvision/regnet_y_400mf": "sa",
    "torchvision/swin_t": "se",
    "torchvision/resnet18": "ela-l",
}
# Two stages of swin, small enough for maps of 14x14 and 7x7 tokens.
SMALL_SWIN = {"depths": (1, 2), "embed_dim": 24, "num_heads": (3, 6), "img_size": 56}


def image_for(model: nn.Module, size: tuple[int, ...] | None = None) -> torch.Tensor:
    return torch.randn(1, *(size or size_of(model)), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "attention"), FAMILIES.items())
def test_identity_start_is_bit_equal_and_can_be_undone(name, attention):
    model = make_generic(build(name))
    image, keys = image_for(model), dict(model.state_dict())
    with torch.no_grad():
        expected = model(image)
        modify(model, attention)
        assert torch.equal(model(image), expected)
        state = model.state_dict()
        assert all(state[key] is not None and torch.equal(state[key], value) for key, value in keys.items())
        set_alphas(model, 0.5)
        assert not torch.equal(model(image), expected)
        remove(model)
        assert torch.equal(model(image), expected)
    assert list(model.state_dict()) == list(keys)


PLACED = {
    "test_resnet": {},
    "test_convnext": {},
    "mobilenetv3_small_050": {},
    "test_vit": {},
    "swin_tiny_patch4_window7_224": SMALL_SWIN,
}


@pytest.mark.parametrize("placement", INNER)
@pytest.mark.parametrize("name", PLACED)
def test_inner_placements(name, placement):
    model = make_generic(build(name, **PLACED[name]))
    size = (3, 56, 56) if "img_size" in PLACED[name] else size_of(model)
    image = image_for(model, size)
    with torch.no_grad():
        expected = model(image)
        if placement in ("after-conv", "before-norm") and ("vit" in name or "swin" in name):
            with pytest.raises(FitError, match="no spatial convolution"):
                modify(model, "se", size=size, placement=placement)
            return
        modify(model, "se", size=size, placement=placement)
        assert torch.equal(model(image), expected)
        set_alphas(model, 0.5)
        assert not torch.equal(model(image), expected)


class Doubled(nn.Module):
    """An attention module that is easy to see: it doubles."""

    acts_on = "spatial"

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class Bottleneck(nn.Module):
    """f, then a spatial g with norm and activation, then h; a projection on the shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Conv2d(4, 4, 1)
        self.g = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.h = nn.Conv2d(4, 4, 1)
        self.project = nn.Conv2d(4, 4, 1)
        self.last = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = self.project(x)
        y = self.h(self.act(self.norm(self.g(self.f(x)))))
        y += shortcut
        return self.last(y)


class OneBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 4, 1)
        self.block = Bottleneck()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.stem(x))


def by_hand(block: Bottleneck, x: torch.Tensor, placement: str) -> torch.Tensor:
    """The block's formula with a doubling at one place."""

    def at(name: str, value: torch.Tensor) -> torch.Tensor:
        return value * 2 if name == placement else value

    spatial = at("before-norm", block.g(block.f(at("before-block", x))))
    inner = at("after-conv", torch.relu(block.norm(spatial)))
    y = at("before-add", block.h(inner)) + at("on-shortcut", block.project(x))
    return at("after", torch.relu(y))


@pytest.mark.parametrize("placement", ["after", *INNER])
def test_every_placement_acts_where_it_says(placement):
    model = make_generic(OneBlock()).eval()
    image = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        expected = by_hand(model.block, model.stem(image), placement)
        modify(model, f"{__name__}:Doubled", size=(4, 8, 8), placement=placement, start="paper")
        assert torch.allclose(model(image), expected, atol=1e-6)


def test_an_edit_of_an_older_version_keeps_its_meaning():
    """Gather-excite had no ReLU between its convolutions, and no option for it."""
    model = build("test_resnet", meta=True)
    edit = modify(model, "ge-theta:extent=4", where=["layer1.*"])[0]
    older = dataclasses.replace(edit, options={"extent": 4})
    relu = {name: build_inserted(e).attention.options["relu"] for name, e in (("new", edit), ("old", older))}
    assert relu == {"new": True, "old": False}
    assert (spec_label(edit), spec_label(older)) == ("ge-theta:extent=4", "ge-theta:extent=4,relu=false")


def test_before_norm_enters_a_child_of_convolution_norm_and_activation():
    """The authors of SimAM put it between a depthwise convolution and its norm."""
    model = make_generic(build("torchvision/mobilenet_v2")).eval()
    edits = modify(model, "simam", placement="before-norm", start="paper")
    assert [edit.name for edit in edits[:2]] == ["features.3.conv.1", "features.5.conv.1"]
    child, x = model.features[3].conv[1], torch.randn(2, 144, 8, 8)
    conv, norm, act = (getattr(child, str(at)) for at in range(3))
    gated = conv(x)
    d = (gated - gated.mean((2, 3), keepdim=True)).square()
    v = d.sum((2, 3), keepdim=True) / (8 * 8 - 1)
    gated = gated * torch.sigmoid(d / (4 * (v + 1e-4)) + 0.5)
    with torch.no_grad():
        torch.testing.assert_close(child(x), act(norm(gated)))


class Unnormed(OneBlock):
    """Its spatial convolution is followed by an activation and another convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.block.norm = nn.Identity()


def test_before_norm_needs_a_norm():
    with pytest.raises(FitError, match="no norm follows its spatial convolution"):
        modify(make_generic(Unnormed()), "se", size=(4, 8, 8), placement="before-norm")


def test_family_block_without_an_addition_takes_before_add_at_its_end():
    model = make_generic(build("mobilenetv2_100"))
    edits = modify(model, "eca", blocks="family", placement="before-add", start="paper")
    assert len(edits) == 16
    assert len(inserted_modules(model)) == 16


def test_an_inner_placement_in_a_block_without_an_addition_sees_the_channels_there():
    model = make_generic(build("mobilenetv2_100"))
    edits = modify(model, "se", blocks="family", placement="after-conv")
    assert [edit.site.channels for edit in edits[:2]] == [96, 144]
    with torch.no_grad():
        model(image_for(model))


def test_an_opaque_block_takes_after_only():
    model = build("tiny_vit_5m_224", meta=True)
    with pytest.raises(FitError, match=r"only --placement after works"):
        modify(model, "se", placement="before-add", where=["stages.3.*"])
    assert len(modify(build("tiny_vit_5m_224"), "se")) == 12


def test_reparameterised_blocks_keep_working():
    model = make_generic(build("fastvit_t8"))
    image = image_for(model)
    with pytest.raises(FitError, match="another of its methods changes"):
        modify(build("repvgg_a0"), "se", placement="before-add")
    modify(model, "se")
    set_alphas(model, 0.5)
    with torch.no_grad():
        expected = model(image)
        fused = timm.utils.reparameterize_model(model)
        assert torch.allclose(fused(image), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_drop_path_stays_random_in_training_only():
    model = make_generic(build("resnet50", drop_path_rate=0.5))
    modify(model, "se", placement="before-add")
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(image), model(image))
        model.train()
        outputs = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            outputs.append(model(image))
        assert not torch.equal(*outputs)
        model.eval()
        assert torch.equal(model(image), model(image))


def test_arguments_and_other_sizes_behave_as_the_base_does():
    model = make_generic(build("vit_tiny_patch16_224"))
    image = image_for(model)
    mask = torch.zeros(1, 1, 197, 197)
    mask[..., 100:] = float("-inf")
    with torch.no_grad():
        plain, masked = model(image), model.forward_head(model.forward_features(image, attn_mask=mask))
        modify(model, "se")
        assert torch.equal(model(image), plain)
        assert torch.equal(model.forward_head(model.forward_features(image, attn_mask=mask)), masked)
    assert not torch.equal(plain, masked)


def test_a_grid_of_another_scale():
    model = make_generic(build("xcit_nano_12_p8_224"))
    large = torch.randn(1, 3, 288, 288)
    with torch.no_grad():
        expected = model(large)
        modify(model, "ela-t", size=(3, 224, 224))
        assert torch.equal(model(large), expected)


def test_swin_after_set_input_size():
    model = make_generic(build("swin_tiny_patch4_window7_224", **SMALL_SWIN))
    modify(model, "se", size=(3, 56, 56))
    set_alphas(model, 0.5)
    twin = make_generic(build("swin_tiny_patch4_window7_224", **SMALL_SWIN))
    for each in (model, twin):
        each.set_input_size((64, 64), window_size=8)
    large = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.equal(model(large), twin(large))
        set_alphas(model, 0.0)
        assert torch.equal(model(large), twin(large))


def test_exchanged_classes_are_refused():
    block = build("test_resnet").layer1[0]
    assert refusal(block) is None
    block.register_parameter("weight_of_mine", nn.Parameter(torch.ones(2)))
    parametrize.register_parametrization(block, "weight_of_mine", nn.Identity())
    assert "parametrize" in str(refusal(block))
    other = build("test_resnet").layer1[0]
    other.forward = lambda x: x
    assert "replaced on the instance" in str(refusal(other))


def test_a_body_that_changed_since_it_was_recorded():
    model = build("test_resnet")
    edits = modify(build("test_resnet"), "se", placement="before-add")
    with pytest.raises(FitError, match="has no node bn9"):
        apply_edits(model, [dataclasses.replace(edits[0], tap="bn9")])


def test_dtype_and_mode_follow_the_block():
    model = build("test_resnet").to(torch.bfloat16).train()
    modify(model, "se", size=(3, 64, 64))
    inserted = next(iter(inserted_modules(model).values()))
    assert inserted.training
    assert {p.dtype for p in inserted.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    "change",
    [
        {"module": "x) or print(1"},
        {"module": "class"},
        {"specialized": {"x): pass  #": None}},
        {"specialized": {"x": print}},
    ],
)
def test_a_crafted_edit_never_becomes_code(change):
    edits = modify(build("test_resnet"), "se")
    model = build("test_resnet")
    with pytest.raises(FitError, match=r"is not a name|is not a literal"):
        apply_edits(model, [dataclasses.replace(edits[0], **change)])
    assert type(model.get_submodule(edits[0].name)).__name__ == "BasicBlock"


@pytest.mark.parametrize("placement", ["after", "before-add"])
def test_a_forward_whose_first_argument_has_another_name(placement):
    class Block(nn.Module):
        def __init__(me):  # noqa: N805
            super().__init__()
            me.f = nn.Conv2d(4, 4, 1)

        def forward(me, x):  # noqa: N805
            return x + me.f(x)

    model = nn.Sequential(nn.Conv2d(4, 4, 1), Block()).eval()
    image = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        expected = model(image)
        modify(model, "se:reduction=1", size=(4, 8, 8), placement=placement)
        assert torch.equal(model(image), expected)


def test_a_module_behind_a_pool_takes_device_and_type_of_the_model():
    model = build("resnet10t").bfloat16()
    modify(model, "se", at=("maxpool",), size=(3, 64, 64))
    assert {p.dtype for p in model.maxpool.parameters()} == {torch.bfloat16}
