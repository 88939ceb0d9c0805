"""What `look` reports equals what one computes by hand; every module is seen."""

from __future__ import annotations

import copy
import math

import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image

import attn_inject
from attn_inject.attention import registry
from attn_inject.errors import FileError, ModelError, NoSiteError, UsageError
from attn_inject.surgery.bypass import bypassed
from tests.nets import build, make_generic, modify, set_alphas

SIZE = 64


def model_with(attention: str, *, alpha: float = 0.7, **plan) -> torch.nn.Module:
    model = make_generic(build("test_resnet", num_classes=10))
    modify(model, attention, size=(3, SIZE, SIZE), **plan)
    set_alphas(model, alpha)
    return model


def inputs(model: torch.nn.Module, photos) -> torch.Tensor:
    """The photos as timm itself prepares them, in the order of their names."""
    config = timm.data.resolve_data_config({"input_size": (3, SIZE, SIZE)}, model=model)
    transform = timm.data.create_transform(**config)
    files = sorted(photos.glob("*/*.*"))
    return torch.stack([transform(Image.open(file).convert("RGB")) for file in files])


@torch.no_grad()
def test_figures_equal_those_computed_by_hand(photos):
    model = model_with("se")
    seen = attn_inject.look(model, photos, size=SIZE, batch_size=3)
    x = inputs(model, photos)
    gates, maps = [], []
    module = model.layer2[0].attn_inject
    module.register_forward_hook(lambda module, given, output: maps.append((given[0], output)))
    module.attention.register_forward_pre_hook(
        lambda attention, given: gates.append(attention.gate(given[0]))
    )
    whole = model(x)
    [site] = [site for site in seen.sites if site.site == "layer2.0"]
    [gate], [(before, after)] = gates, maps
    assert site.gates[0].mean == pytest.approx(float(gate.mean()), abs=1e-6)
    assert site.gates[0].std == pytest.approx(float(gate.std(correction=0)), abs=1e-6)
    still = gate.std(0, correction=0) < 0.01
    assert site.gates[0].constant == pytest.approx(float(still.float().mean()), abs=1e-6)
    by_class = torch.stack([gate[:2].mean(0), gate[2:].mean(0)])  # blues before reds
    means = [float(one.mean()) for one in by_class]
    assert site.gates[0].by_class == pytest.approx(dict(zip(("blues", "reds"), means, strict=True)))
    assert site.gates[0].class_spread == pytest.approx(float(by_class.std(0, correction=0).mean()), rel=1e-4)
    size = before.flatten(1).norm(dim=1)
    assert site.contribution == pytest.approx(
        float(((after - before).flatten(1).norm(dim=1) / size).mean()), rel=1e-4
    )
    assert site.change == pytest.approx(site.contribution / 0.7, rel=1e-4)
    with bypassed(model, ["layer2.0.attn_inject"]):
        without = model(x)
    divergence = F.kl_div(
        without.log_softmax(1), whole.log_softmax(1), reduction="batchmean", log_target=True
    )
    assert site.divergence == pytest.approx(float(divergence), rel=1e-3)
    assert site.agreement == (without.argmax(1) == whole.argmax(1)).float().mean()
    with bypassed(model):
        base = model(x)
    assert seen.agreement == (base.argmax(1) == whole.argmax(1)).float().mean()
    assert (seen.images, seen.classes) == (4, ("blues", "reds"))


@pytest.mark.parametrize("name", registry.entries())
def test_every_module_is_seen(name, photos):
    """Its gates if it has any, else its residual; either of them finite, and the model as before."""
    model = model_with(name, start="paper", where=["layer3.*"])
    before = copy.deepcopy(model.state_dict())
    seen = attn_inject.look(model, photos, size=SIZE, bypass=False)
    [site] = seen.sites
    figures = [site.change, site.contribution]
    figures += [figure for gate in site.gates for figure in (gate.mean, gate.std, gate.class_spread)]
    assert all(figure is not None and math.isfinite(figure) for figure in figures)
    assert site.gates or seen.pictures[0].maps, "neither a gate nor a residual is shown"
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_an_untrained_identity_does_nothing_and_its_change_is_seen(photos):
    seen = attn_inject.look(model_with("cbam", alpha=0.0), photos, size=SIZE)
    assert seen.agreement == 1
    assert all((site.contribution, site.divergence, site.alpha) == (0, 0, 0) for site in seen.sites)
    assert all(site.change > 0 for site in seen.sites)
    assert "4 of 4 sites do nothing here" in "\n".join(seen.verdict)


def test_a_transformers_tokens_are_a_map(photos):
    model = make_generic(build("test_vit", num_classes=10, img_size=SIZE))
    modify(model, "ela-l", size=(3, SIZE, SIZE))
    set_alphas(model, 0.5)
    seen = attn_inject.look(model, photos, size=SIZE, bypass=False)
    rows, columns, cells = seen.pictures[0].maps["blocks.0"]
    assert (rows, columns, len(cells)) == (4, 4, 16)
    assert {gate.name for gate in seen.sites[0].gates} == {"rows", "columns"}


def test_the_class_maps_of_an_identity_are_those_of_its_base(photos):
    seen = attn_inject.look(model_with("se", alpha=0.0), photos, size=SIZE, bypass=False, class_maps=True)
    assert all(picture.cam == picture.base_cam is not None for picture in seen.pictures)
    assert any(any(picture.cam[2]) for picture in seen.pictures)
    other = attn_inject.look(model_with("se"), photos, size=SIZE, bypass=False, class_maps=True)
    assert any(picture.cam != picture.base_cam for picture in other.pictures)


def test_a_replaced_layer_has_no_base_but_one_can_be_named(photos):
    model = model_with("sk", placement="replace-conv", start="paper")
    alone = attn_inject.look(model, photos, size=SIZE, bypass=False)
    assert (alone.agreement, alone.base) == (None, "")
    assert "--base" in "\n".join(alone.notes)
    named = attn_inject.look(
        model, photos, base=build("test_resnet", num_classes=10), size=SIZE, bypass=False
    )
    assert named.agreement is not None
    assert named.base == "ResNet"


def test_what_cannot_be_looked_at_is_an_error(photos, tmp_path):
    model = model_with("se")
    with pytest.raises(NoSiteError):
        attn_inject.look(build("test_resnet"), photos)
    with pytest.raises(FileError, match="does not exist"):
        attn_inject.look(model, tmp_path / "nowhere")
    with pytest.raises(FileError, match="no image"):
        attn_inject.look(model, tmp_path)
    with pytest.raises(UsageError, match="three numbers"):
        attn_inject.look(model, photos, mean=(0.5,))
    with pytest.raises(UsageError, match="no device"):
        attn_inject.look(model, photos, device="cuda:99")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(FileError, match=r"broken\.png cannot be read"):
        attn_inject.look(model, [broken])
    headless = build("test_resnet", num_classes=10)
    headless.global_pool, headless.fc = torch.nn.Identity(), torch.nn.Identity()
    modify(headless, "se")
    with pytest.raises(ModelError, match="a classifier returns"):
        attn_inject.look(headless, photos, size=SIZE)


def test_an_unknown_model_must_be_told_how_images_become_inputs(photos):
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = build("test_resnet", num_classes=10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)

    model = Plain()
    attn_inject.inject(model, "se", inplace=True, check="off", input_size=SIZE)
    with pytest.raises(UsageError, match="--size and --mean and --std"):
        attn_inject.look(model, photos)
    given = {"size": SIZE, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    assert "as given" in attn_inject.look(model, photos, **given, bypass=False).preprocessing


def test_torchvisions_own_transforms_are_used(photos):
    request = attn_inject.ModelRequest(name="torchvision/mobilenet_v3_small", num_classes=10)
    model = attn_inject.inject(request, "se", check="off", where="features.11").model
    seen = attn_inject.look(model, photos, bypass=False, limit=2)
    assert "torchvision's transforms of mobilenet_v3_small.IMAGENET1K_V1" in seen.preprocessing
    assert seen.images == 2
    assert "2 of 4 images were taken" in seen.notes[0]
