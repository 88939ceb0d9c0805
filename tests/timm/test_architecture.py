"""What `timm.create_model` builds for a modified name."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models import _registry as theirs

import attn_inject
import attn_inject.timm
from attn_inject.errors import FileError, NoSiteError
from attn_inject.surgery.inserted import inserted_modules
from tests.nets import make_generic

IMAGES = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
# A CNN, tokens, windows of tokens with channels last, and modules that gate a map of one size.
NAMES = ["test_resnet_ela_l", "test_vit_se", "test_convnext_nam", "test_mambaout_nam_spatial"]


@pytest.fixture
def files(tmp_path):
    """A base's state dict by name, as a file."""

    def save(model, name):
        torch.save(model.state_dict(), tmp_path / name)
        return str(tmp_path / name)

    return save


@pytest.fixture
def registered():
    """Registers names for one test."""
    names = []

    def register(name, **values):
        attn_inject.timm.register(name, **values)
        names.append(name)

    yield register
    for name in names:
        theirs._model_entrypoints.pop(name)
        attn_inject.timm.names._known.pop(name)


def create(name, **values):
    torch.manual_seed(0)
    return timm.create_model(name, **values).eval()


def alphas(model):
    return {module.alpha.item() for module in inserted_modules(model).values()}


@pytest.mark.parametrize("name", NAMES)
def test_pretrained_is_the_base_with_an_identity_start(name, files):
    base_name = attn_inject.timm.rule.split(name, timm.is_model)[0]
    base = make_generic(create(base_name, num_classes=7))
    overlay = {"file": files(base, "base.pth"), "num_classes": 7}
    model = create(name, pretrained=True, num_classes=7, pretrained_cfg_overlay=overlay)
    with torch.no_grad():
        assert torch.equal(model(IMAGES), base(IMAGES))
    assert alphas(model) == {0.0}
    assert type(model) is type(base)
    added = model.state_dict().keys() - base.state_dict().keys()
    assert added
    assert all(".attn_inject." in key for key in added)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_inject_writes_in(name):
    base_name, attention = attn_inject.timm.rule.split(name, timm.is_model)
    modified = attn_inject.inject(create(base_name), attention, start="identity", check="off").model
    model = create(name)
    assert model.state_dict().keys() == modified.state_dict().keys()
    modified.load_state_dict(make_generic(model).state_dict())
    with torch.no_grad():
        assert torch.equal(model(IMAGES), modified(IMAGES))


def test_without_weights_it_is_the_papers_start():
    model = create("test_resnet_ela_l")
    assert alphas(model) == {1.0}
    paper = attn_inject.inject(create("test_resnet"), "ela-l", start="paper", check="off").model
    make_generic(paper)
    model.load_state_dict(paper.state_dict(), strict=False)
    with torch.no_grad():
        torch.testing.assert_close(model(IMAGES), paper(IMAGES))


@pytest.mark.parametrize("start", ["paper", "identity", "auto"])
def test_the_state_dict_depends_on_the_name_alone(start, registered, files):
    registered("mine", base="test_resnet", attn="eca", start=start)
    weights = {"pretrained": True, "pretrained_cfg_overlay": {"file": files(create("test_resnet"), "b.pth")}}
    fresh, trained = create("mine"), create("mine", **weights)
    assert fresh.state_dict().keys() == trained.state_dict().keys()
    assert any(key.endswith("alpha") for key in fresh.state_dict()) is (start != "paper")
    if start == "identity":
        assert alphas(fresh) == {0.0}


def test_a_checkpoint_of_its_own(files):
    model = make_generic(create("test_resnet_ela_l", num_classes=5))
    again = create("test_resnet_ela_l", num_classes=5, checkpoint_path=files(model, "trained.pth"))
    with torch.no_grad():
        assert torch.equal(again(IMAGES), model(IMAGES))


def test_a_checkpoint_that_attn_inject_saved(tmp_path):
    result = attn_inject.inject("test_resnet", "se", start="identity", check="off")
    attn_inject.save(result, tmp_path / "model.pt")
    model = create("test_resnet_se", checkpoint_path=str(tmp_path / "model.pt"))
    with torch.no_grad():
        assert torch.equal(model(IMAGES), result.model.eval()(IMAGES))


@pytest.mark.parametrize("name", ["test_resnet_ela_l", "test_vit_se", "test_convnext_eca"])
def test_trained_weights_of_its_own_as_pretrained(name, files):
    model = make_generic(create(name))
    weights = {"pretrained": True, "pretrained_cfg_overlay": {"file": files(model, "own.pth")}}
    again, features = create(name, **weights), create(name, features_only=True, **weights)
    with torch.no_grad():
        assert torch.equal(again(IMAGES), model(IMAGES))
        maps = features(IMAGES)
        assert torch.equal(maps[-1], model.forward_intermediates(IMAGES, intermediates_only=True)[-1])
    assert "state_dict" not in again.pretrained_cfg


def test_weights_of_another_modified_model_are_refused(files):
    other = files(create("test_resnet_se"), "se.pth")
    with pytest.raises(FileError, match="do not fit test_resnet_ela_l"):
        create("test_resnet_ela_l", pretrained=True, pretrained_cfg_overlay={"file": other})


def test_a_folder_as_timms_hub_tools_write_it(tmp_path):
    model = make_generic(create("test_resnet_ela_l", num_classes=4, in_chans=1))
    timm.models.save_for_hf(model, tmp_path / "hub")
    # Given once more, since older releases of timm read the number of classes from the folder only.
    again = create(f"local-dir:{tmp_path / 'hub'}", pretrained=True, in_chans=1)
    with torch.no_grad():
        assert torch.equal(again(IMAGES[:, :1]), model(IMAGES[:, :1]))


@pytest.mark.parametrize(
    ("name", "values", "shape"),
    [
        ("test_resnet_ela_l", {"in_chans": 1}, (1, 160, 160)),
        ("test_vit_ela_l", {"in_chans": 2, "img_size": 96, "global_pool": "avg"}, (2, 96, 96)),
        ("test_vit_nam", {"img_size": (96, 64), "global_pool": "avg"}, (3, 96, 64)),
        ("test_resnet_nam_spatial", {"attn_input_size": (3, 96, 96)}, (3, 96, 96)),
    ],
)
def test_other_inputs(name, values, shape):
    model = create(name, num_classes=3, **values)
    assert model(torch.randn(2, *shape)).shape == (2, 3)


def test_the_size_asked_for_reaches_the_data():
    model = create("test_resnet_nam", attn_input_size=(3, 96, 96))
    assert timm.data.resolve_data_config({}, model=model)["input_size"] == (3, 96, 96)


def test_features_have_timms_shapes():
    model = create("test_resnet_se", features_only=True, out_indices=(1, 3))
    base = create("test_resnet", features_only=True, out_indices=(1, 3))
    assert [f.shape for f in model(IMAGES)] == [f.shape for f in base(IMAGES)]
    assert model.feature_info.channels() == base.feature_info.channels()
    assert len(inserted_modules(model)) == 3  # the last stage was left out by timm


def test_features_of_another_number_of_channels():
    model = create("test_convnext_se", features_only=True, in_chans=1)
    assert len(model(IMAGES[:, :1])) == 4


def test_sites_placement_and_options(registered):
    registered(
        "mine",
        base="test_resnet",
        attn=["layer3.*=se:reduction=4", "eca"],
        placement="before-add",
        stage=(3, 4),
    )
    model = create("mine")
    assert list(inserted_modules(model)) == ["layer3.0.attn_inject", "layer4.0.attn_inject"]
    assert [m.attention.options.get("reduction") for m in inserted_modules(model).values()] == [4, None]
    assert {m.edit.placement for m in inserted_modules(model).values()} == {"before-add"}


def test_a_modified_base(registered, tmp_path):
    registered("twice", base="test_resnet_se", attn="ela-l", where="layer4.*")
    model = create("twice")
    assert [n for n in inserted_modules(model) if n.startswith("layer4")] == [
        "layer4.0.attn_inject",
        "layer4.0.attn_inject_1",
    ]
    assert model.pretrained_cfg["architecture"] == "twice"
    attn_inject.save(model, tmp_path / "model.pt")
    again = attn_inject.load(tmp_path / "model.pt")
    with torch.no_grad():
        assert torch.equal(again(IMAGES), model(IMAGES))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("test_resnet_ela_l", {"num_classes": 5}),
        ("test_vit_se.r160_in1k", {"img_size": 96}),
        ("test_resnet_nam", {"attn_input_size": (3, 96, 96)}),
        ("test_resnet_eca", {"features_only": True, "out_indices": (1, 3)}),
    ],
)
def test_it_can_be_saved_and_loaded_without_its_name(name, values, tmp_path, recwarn):
    size = values.get("attn_input_size", (3, values.get("img_size", 160), values.get("img_size", 160)))
    model, images = make_generic(create(name, **values)), torch.randn(1, *size)
    attn_inject.save(model, tmp_path / "model.pt")
    again = attn_inject.load(tmp_path / "model.pt")
    with torch.no_grad():
        given = model(images)
        assert all(map(torch.equal, given, again(images)))
    assert not [w for w in recwarn if "no longer what" in str(w.message)]


def test_replaced_modules(registered):
    registered("mine", base="test_resnet", attn="sasa", placement="replace-conv", where="layer4.*")
    replaced = [m for m in inserted_modules(create("mine")).values() if m.edit.replaces]
    assert replaced
    assert all(module.alpha is None for module in replaced)


def test_a_model_without_residual_blocks_says_so():
    with pytest.raises(NoSiteError, match="no residual block"):
        timm.create_model("test_efficientnet_se")


def test_new_parameters_come_from_the_global_random_state():
    one, two = create("test_resnet_se"), create("test_resnet_se")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    torch.manual_seed(1)
    other = timm.create_model("test_resnet_se")
    weights = [key for key in one.state_dict() if ".attn_inject." in key and key.endswith("weight")]
    assert weights
    assert not any(torch.equal(one.state_dict()[key], other.state_dict()[key]) for key in weights)
